// Builds without CUDA: no GPU gets a proxy.
#include "ggml/attention_executor.h"

namespace tmx {

std::vector<proxy_candidate> proxy_candidates() {
    return {};
}

}  // namespace tmx
