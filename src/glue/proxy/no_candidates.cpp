// Builds without CUDA: no GPU gets a proxy.
#include "glue/proxy/attention_executor.h"

namespace tmx {

std::vector<proxy_candidate> proxy_candidates() {
    return {};
}

}  // namespace tmx
