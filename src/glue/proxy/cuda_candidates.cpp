// Builds with CUDA: every GPU of ggml's CUDA backend that the kernels run on gets a proxy.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>

#include "backend/cuda/cuda_executor.h"
#include "glue/proxy/proxy_candidates.h"

namespace tmx {
namespace {

// The CUDA runtime's number of a ggml device: by its bus address, else by its name ("CUDA1"). -1: unknown.
int device_number(ggml_backend_dev_t device) {
    ggml_backend_dev_props props{};
    ggml_backend_dev_get_props(device, &props);
    int number = props.device_id != nullptr ? cuda_device_at(props.device_id) : -1;
    if (number >= 0) {
        return number;
    }
    const std::string_view name = ggml_backend_dev_name(device);
    const std::string_view digits = name.substr(std::min(name.find_first_of("0123456789"), name.size()));
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

}  // namespace

std::vector<proxy_candidate> proxy_candidates() {
    std::vector<proxy_candidate> candidates;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        const ggml_backend_dev_t device = ggml_backend_dev_get(i);
        const enum ggml_backend_dev_type type = ggml_backend_dev_type(device);
        const ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(device);
        if ((type != GGML_BACKEND_DEVICE_TYPE_GPU && type != GGML_BACKEND_DEVICE_TYPE_IGPU) || registry == nullptr ||
            std::strcmp(ggml_backend_reg_name(registry), "CUDA") != 0) {
            continue;
        }
        const int number = device_number(device);
        std::string kernel;
        const std::string problem = number < 0 ? "its CUDA device is unknown" : cuda_problem_of(number, kernel);
        if (!problem.empty()) {
            GGML_LOG_WARN("TriangleMix: no device in front of %s: %s\n", ggml_backend_dev_name(device),
                          problem.c_str());
            continue;
        }
        candidates.push_back({.device = device,
                              .type = type,
                              .name = "TriangleMix" + std::to_string(candidates.size()),
                              .kernel = "cuda." + kernel,
                              .make_executor =
                                  [number](std::unique_ptr<attention_executor> & executor) {
                                      return make_cuda_executor(number, executor);
                                  },
                              .pinned = [number](const void * data) { return cuda_is_pinned(number, data); }});
    }
    return candidates;
}

}  // namespace tmx
