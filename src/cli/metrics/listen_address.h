// cli/metrics/listen_address.h -- where a server of ours listens, as users type it.
#pragma once

#include <string>

namespace tmx {

struct listen_address {
    std::string host = "127.0.0.1";  // a name or a number, without brackets
    int port = 0;                    // 0: any that is free

    bool loopback() const;
    std::string text() const;  // "127.0.0.1:9464", "[::1]:9464"
};

// "9464", ":9464", "localhost:9464", "0.0.0.0:9464", "[::1]:9464". Without a host only this machine is served.
// ERRORS failure: it is none of these.
listen_address parse_listen_address(const std::string & text);

}  // namespace tmx
