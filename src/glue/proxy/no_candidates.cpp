// Builds without CUDA: no GPU gets a proxy.
#include "glue/proxy/proxy_candidates.h"

namespace tmx {

std::vector<proxy_candidate> proxy_candidates() {
    return {};
}

}  // namespace tmx
