// The probe on a GPU device of ggml that stands in front of another one, both without hardware (ggml/fake/fake_gpu.h).
#include <gtest/gtest.h>

#include "fake_gpu.h"
#include "glue/proxy/proxy_device.h"
#include "probe/model_file.h"
#include "probe/probe_device.h"
#include "probe/probe_model.h"
#include "runtime/backend.h"
#include "runtime/failure.h"
#include "tiny_gguf.h"

namespace tmx::test {
namespace {

// Registered once, as ggml keeps devices until the process ends.
fake_gpu & gpu() {
    static const backend loaded({default_backend_paths().llama_bin, ""}, false);
    static fake_gpu wrapped;
    static proxy_device proxy(nullptr, candidate_for(wrapped));
    static const bool registered = [] {
        ggml_backend_device_register(proxy.handle());
        return true;
    }();
    static_cast<void>(registered);
    return wrapped;
}

std::string tiny_file() {
    tiny_shape shape;
    shape.architecture = "qwen3";
    return write_tiny_gguf(make_tiny_model(shape, 5), "device");
}

probe_model open_probe(const model_file & file, const std::string & device) {
    probe_options options;
    options.shape = {3, 9, 5};
    options.rows_per_block = 24;
    probe_device where = open_probe_device(device, 1);
    return {file, options, std::move(where.backend), std::move(where.attention)};
}

TEST(ProbeDevice, ComputesThereWhatTheCpuComputes) {
    const size_t n_graphs = gpu().graphs.size();
    std::vector<int32_t> tokens;
    for (int i = 0; i < 70; ++i) {
        tokens.push_back((i * i * 7 + 11) % 50);
    }
    const model_file file(tiny_file());
    probe_model on_cpu = open_probe(file, "");
    EXPECT_EQ(gpu().graphs.size(), n_graphs);
    probe_model on_gpu = open_probe(file, "TriangleMix0");
    const gradient_result expected = on_cpu.gradient(tokens);
    const gradient_result found = on_gpu.gradient(tokens);
    EXPECT_EQ(found.logits, expected.logits);
    EXPECT_EQ(found.sums, expected.sums);
    // Two layers of three blocks: two graphs forward, three backward (the first of these two again).
    EXPECT_EQ(gpu().graphs.size() - n_graphs, 2U * 3 * 5);
    EXPECT_EQ(on_gpu.dense(tokens, {}), on_cpu.dense(tokens, {}));
    EXPECT_EQ(on_gpu.ablated({0, 1}), on_cpu.ablated({0, 1}));
}

TEST(ProbeDevice, SaysWhereAttentionIsComputed) {
    gpu();
    EXPECT_EQ(open_probe_device("", 1).note, "");
    EXPECT_NE(open_probe_device("TriangleMix0", 1).note.find("no kernels for TriangleMix0"), std::string::npos);
    EXPECT_THROW(static_cast<void>(open_probe_device("TriangleMix7", 1)), failure);
}

TEST(ProbeDevice, AnOperationThatTheDeviceLacksIsNamed) {
    const ggml_backend_dev_t device = gpu().device();
    const auto supports_op = device->iface.supports_op;
    device->iface.supports_op = [](ggml_backend_dev_t, const ggml_tensor * op) { return op->op != GGML_OP_ROPE_BACK; };
    const model_file file(tiny_file());
    std::string said;
    try {
        static_cast<void>(open_probe(file, "TriangleMix0"));
    } catch (const failure & error) {
        said = error.what();
    }
    device->iface.supports_op = supports_op;
    EXPECT_NE(said.find("ROPE_BACK"), std::string::npos) << said;
    EXPECT_NE(said.find("--device"), std::string::npos) << said;
}

}  // namespace
}  // namespace tmx::test
