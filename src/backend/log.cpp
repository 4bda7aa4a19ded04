#include "backend/log.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <string>

namespace tmx {

void say(log_sink sink, log_level level, const char * format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int n = std::max(std::vsnprintf(nullptr, 0, format, args), 0);
    va_end(args);
    std::string line(static_cast<size_t>(n) + 1, '\0');  // the null that vsnprintf writes, too
    std::vsnprintf(line.data(), line.size(), format, again);
    va_end(again);
    sink(level, line.c_str());
}

}  // namespace tmx
