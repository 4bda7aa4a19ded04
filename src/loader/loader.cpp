// The library that GGML_BACKEND_PATH names: finds out which ggml the program runs, and hands over to the part that was
// built for it. It has nothing of ggml in it, so that every program can load it, and be told what is wrong.
#include <dlfcn.h>

#include <cstdlib>
#include <exception>
#include <optional>
#include <string>

#include "backend/status_file.h"
#include "loader/ggml_version.h"
#include "loader/host.h"

namespace tmx {
namespace {

// What a part exports (src/glue/registry.cpp).
using init_t = void * (*)();
using score_t = int (*)();
using difference_t = const char * (*)();

struct opened_part {
    void * handle = nullptr;
    init_t init = nullptr;
    score_t score = nullptr;
};

std::string environment(const char * name) {
    const char * value = std::getenv(name);
    return value != nullptr ? value : "";
}

// This library's own folder, with a slash behind it, where its parts are.
std::string own_folder() {
    Dl_info self;
    if (dladdr(reinterpret_cast<const void *>(&own_folder), &self) == 0 || self.dli_fname == nullptr) {
        return "";
    }
    const std::string path = self.dli_fname;
    return path.substr(0, path.rfind('/') + 1);
}

// Opens a part if it is there and its layout is the host's; else says why not.
std::optional<opened_part> open_part(const host_part & part, std::string & why) {
    const std::string path = own_folder() + "libtrianglemix-ggml-" + part.name + ".so";
    opened_part opened;
    opened.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (opened.handle == nullptr) {
        why = "the part for ggml " + std::string(part.name) + " cannot be loaded: " + dlerror();
        return std::nullopt;
    }
    const auto difference = reinterpret_cast<difference_t>(dlsym(opened.handle, "trianglemix_layout_difference"));
    opened.init = reinterpret_cast<init_t>(dlsym(opened.handle, "ggml_backend_init"));
    opened.score = reinterpret_cast<score_t>(dlsym(opened.handle, "ggml_backend_score"));
    const char * text = difference != nullptr ? difference() : nullptr;
    if (text == nullptr || opened.init == nullptr || opened.score == nullptr) {
        why = path + " is no part of this library";
    } else if (*text != '\0') {
        why = "its layout is not that of the part for ggml " + std::string(part.name) + ": " + text;
    } else {
        return opened;
    }
    dlclose(opened.handle);
    return std::nullopt;
}

// The part that serves this process; null if none does, which then has been said.
const opened_part * part_of(const host & from) {
    const std::string version = from.ggml_version();
    part_choice choice;
    if (version.empty()) {
        choice.refusal =
            "this program's ggml cannot be found: it seems to be linked in. A llama.cpp with shared libraries is "
            "needed (-DBUILD_SHARED_LIBS=ON)";
    } else {
        choice = parts_for(version, tries_newer_ggml());
    }
    std::string reasons = choice.refusal;
    const std::string of_host = "this program's ggml " + version + ": ";
    for (const host_part * part : choice.parts) {
        std::string why;
        static opened_part serving;
        if (const std::optional<opened_part> opened = open_part(*part, why)) {
            serving = *opened;
            return &serving;
        }
        reasons.append(reasons.empty() ? of_host : "; ").append(why);
    }
    from.log_error("not registering: " + reasons);
    if (!append_status(environment("TRIANGLEMIX_STATUS"),
                       {.refusal = reasons, .version = TMX_VERSION, .devices = 0, .kernel = "", .gpus = {}})) {
        from.log_error("cannot write to TRIANGLEMIX_STATUS=" + environment("TRIANGLEMIX_STATUS"));
    }
    return nullptr;
}

// Looked for once, with whatever asks first.
const opened_part * serving_part(const void * caller) {
    static const opened_part * const part = part_of(host(caller));
    return part;
}

}  // namespace
}  // namespace tmx

extern "C" __attribute__((visibility("default"))) void * ggml_backend_init(void);
extern "C" __attribute__((visibility("default"))) int ggml_backend_score(void);

// ggml asks it before it registers a library, and closes it again without a word if it says 0: a part that is switched
// off does. Where no part serves, the init function says so.
extern "C" int ggml_backend_score(void) {
    try {
        const tmx::opened_part * part = tmx::serving_part(__builtin_return_address(0));
        return part != nullptr ? part->score() : 1;
    } catch (const std::exception &) {
        return 0;
    }
}

// Called once by a host that loads the library, and once more if it is loaded by two ways.
extern "C" void * ggml_backend_init(void) {
    try {
        const tmx::opened_part * part = tmx::serving_part(__builtin_return_address(0));
        return part != nullptr ? part->init() : nullptr;
    } catch (const std::exception &) {
        return nullptr;
    }
}
