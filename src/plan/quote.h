// plan/quote.h -- foreign text inside an error message: quoted, ASCII, one line, short.
#pragma once

#include <string>
#include <string_view>

namespace tmx {

inline std::string quote(std::string_view text) {
    constexpr size_t max_shown = 60;
    constexpr char hex[] = "0123456789abcdef";
    std::string quoted = "\"";
    for (const char c : text.substr(0, max_shown)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte >= 0x7f) {
            quoted += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
        } else {
            quoted += c;
        }
    }
    quoted += text.size() > max_shown ? "...\"" : "\"";
    return quoted;
}

}  // namespace tmx
