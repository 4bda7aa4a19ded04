// Lines for the host's log. Whoever loads the backend says where they go: nothing here writes anywhere by itself.
#pragma once

#include <cstdint>

namespace tmx {

enum class log_level : uint8_t { info, warning, error };

// Takes one line, without the backend's name and without a line's end.
using log_sink = void (*)(log_level level, const char * line);

// Formats as printf does; a line may be of any length.
[[gnu::format(printf, 3, 4)]] void say(log_sink sink, log_level level, const char * format, ...);

}  // namespace tmx
