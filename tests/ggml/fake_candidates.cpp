// The module's registry with one GPU that is none, so that unmodified llama.cpp programs can run on a proxy anywhere.
// Synchronous: a whole program's tensors may be gone before a late task would read their shapes. The GPU itself is a
// device that programs can name, too, as a real one's backend would have registered it.
#include "fake_gpu.h"

namespace tmx {

std::vector<proxy_candidate> proxy_candidates() {
    static auto & gpu = *new test::fake_gpu({.asynchronous = false, .events = true});
    ggml_backend_device_register(gpu.device());
    return {test::candidate_for(gpu)};
}

}  // namespace tmx
