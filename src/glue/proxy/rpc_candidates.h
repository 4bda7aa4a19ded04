// GPUs of other hosts, as llama.cpp's RPC shows them: their proxies compute nothing here, but send large masks in few
// bytes (buffers/mask_messages.h).
#pragma once

#include <string>
#include <vector>

#include "glue/proxy/proxy_candidates.h"

namespace tmx {

// The devices of these rpc-servers, "HOST:PORT" with commas between, named TriangleMixRPC0 and so on. Connects to each;
// one that does not answer, or a program without RPC, is a line in the log.
std::vector<proxy_candidate> rpc_candidates(const std::string & endpoints);

}  // namespace tmx
