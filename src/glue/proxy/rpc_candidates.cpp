#include "glue/proxy/rpc_candidates.h"

#include <sstream>

#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

using add_server_function = ggml_backend_reg_t (*)(const char * endpoint);

add_server_function find_add_server() {
    const ggml_backend_reg_t rpc = ggml_backend_reg_by_name("RPC");
    return rpc == nullptr ? nullptr
                          : reinterpret_cast<add_server_function>(
                                ggml_backend_reg_get_proc_address(rpc, "ggml_backend_rpc_add_server"));
}

}  // namespace

std::vector<proxy_candidate> rpc_candidates(const std::string & endpoints) {
    std::vector<proxy_candidate> candidates;
    if (endpoints.empty()) {
        return candidates;
    }
    const add_server_function add_server = find_add_server();
    if (add_server == nullptr) {
        GGML_LOG_WARN("TriangleMix: TRIANGLEMIX_RPC: this program has no RPC (GGML_RPC), so no device for %s\n",
                      endpoints.c_str());
        return candidates;
    }
    std::istringstream all(endpoints);
    for (std::string endpoint; std::getline(all, endpoint, ',');) {
        const ggml_backend_reg_t server = endpoint.empty() ? nullptr : add_server(endpoint.c_str());
        if (server == nullptr) {
            GGML_LOG_WARN("TriangleMix: TRIANGLEMIX_RPC: no rpc-server answers at '%s'\n", endpoint.c_str());
            continue;
        }
        for (size_t i = 0; i < ggml_backend_reg_dev_count(server); ++i) {
            const ggml_backend_dev_t device = ggml_backend_reg_dev_get(server, i);
            candidates.push_back({.device = device,
                                  .type = ggml_backend_dev_type(device),
                                  .name = TMX_BACKEND_NAME "RPC" + std::to_string(candidates.size()),
                                  .kernel = "of " + endpoint,
                                  .make_executor = {}});
        }
    }
    return candidates;
}

}  // namespace tmx
