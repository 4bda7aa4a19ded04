// A part that was built for another layout than the process's ggml has finds out, says what differs, and harms nothing.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "ggml-backend.h"

namespace tmx::test {
namespace {

std::string difference_of(const std::string & part) {
    const std::string path = TMX_CHANGED_PARTS "/libtrianglemix-ggml-" + part + ".so";
    void * handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(handle, nullptr) << dlerror();
    if (handle == nullptr) {
        return "";
    }
    using difference_t = const char * (*)();
    const auto ask = reinterpret_cast<difference_t>(dlsym(handle, "trianglemix_layout_difference"));
    EXPECT_NE(ask, nullptr) << part;
    std::string text = ask != nullptr ? ask() : "";
    dlclose(handle);
    return text;
}

TEST(changed_layouts, are_named) {
    ASSERT_STREQ(ggml_status_to_string(GGML_STATUS_SUCCESS), "GGML status: success") << "ggml is there";
    for (const auto & [part, named] : {
             std::pair{"device_slot", "get_type of ggml_backend_device"},
             {"backend_slot", "graph_compute of ggml_backend"},
             {"buffer_type_slot", "get_alignment of ggml_backend_buffer_type"},
             {"buffer_slot", "clear of ggml_backend_buffer"},
             {"registry_slot", "get_proc_address of ggml_backend_reg"},
             {"tensor_field", "a tensor takes"},
             {"tensor_order", "a tensor's view_src"},
             {"graph_order", "a graph's n_nodes"},
             {"properties_field", "a device's properties"},
             {"operation_number", "operation 7"},
             {"type_number", "type 29"},
         }) {
        const std::string difference = difference_of(part);
        EXPECT_NE(difference.find(named), std::string::npos) << part << ": " << difference;
    }
}

TEST(changed_layouts, the_same_layout_is_known) {
    EXPECT_EQ(difference_of("no_change"), "");
}

}  // namespace
}  // namespace tmx::test
