// The module's registry with GPUs that are none, so that unmodified llama.cpp programs can run on a proxy anywhere:
// one, or as many as TMX_FAKE_GPUS says. Synchronous: a whole program's tensors may be gone before a late task would
// read their shapes. The GPUs themselves are devices that programs can name, too, as a real one's backend would have
// registered them. TMX_FAKE_SUMS=0: they cannot add up what the devices of a tensor split computed.
#include <cstdlib>
#include <string_view>

#include "fake_gpu.h"

namespace tmx {

std::vector<proxy_candidate> proxy_candidates() {
    const char * number = std::getenv("TMX_FAKE_GPUS");
    const char * sums = std::getenv("TMX_FAKE_SUMS");
    std::vector<proxy_candidate> candidates;
    for (int i = 0; i < (number != nullptr ? std::atoi(number) : 1); ++i) {
        auto & gpu = *new test::fake_gpu({.asynchronous = false,
                                          .events = true,
                                          .number = i,
                                          .sums = sums == nullptr || std::string_view(sums) != "0",
                                          .host_memory = true});
        ggml_backend_device_register(gpu.device());
        candidates.push_back(test::candidate_for(gpu));
    }
    return candidates;
}

}  // namespace tmx
