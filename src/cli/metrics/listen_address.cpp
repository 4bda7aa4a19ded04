#include "cli/metrics/listen_address.h"

#include <charconv>

#include "runtime/failure.h"

namespace tmx {

bool listen_address::loopback() const {
    return host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::string listen_address::text() const {
    const bool brackets = host.find(':') != std::string::npos;
    return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

listen_address parse_listen_address(const std::string & text) {
    listen_address address;
    const size_t colon = text.rfind(':');
    const std::string digits = colon == std::string::npos ? text : text.substr(colon + 1);
    std::string host = colon == std::string::npos ? "" : text.substr(0, colon);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
    bool good =
        error == std::errc() && end == digits.data() + digits.size() && address.port >= 0 && address.port <= 65535;
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
        good = good && host.find(':') != std::string::npos;
    } else {
        good = good && host.find_first_of(":[]/ ") == std::string::npos;
    }
    if (!good) {
        throw failure("'" + text + "' is no address to listen on; expected PORT or HOST:PORT, as 9464 or [::1]:9464");
    }
    if (!host.empty()) {
        address.host = host;
    }
    return address;
}

}  // namespace tmx
