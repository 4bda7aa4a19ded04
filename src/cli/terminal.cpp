#include "cli/terminal.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace tmx {

int terminal_width(int file_descriptor) {
    winsize size{};
    if (isatty(file_descriptor) == 1 && ioctl(file_descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return 80;
}

int line_width(int file_descriptor) {
    constexpr int k_endless = 1 << 20;
    return isatty(file_descriptor) == 1 ? terminal_width(file_descriptor) : k_endless;
}

void tell(const std::string & text, int indent) {
    fmt::print(stderr, "{}\n", isatty(STDERR_FILENO) == 1 ? wrap(text, terminal_width(STDERR_FILENO), indent) : text);
}

void show_live(const std::string & text) {
    // The last column stays free: writing there makes some terminals begin a new line.
    const auto width = static_cast<size_t>(std::max(terminal_width(STDERR_FILENO) - 1, 1));
    fmt::print(stderr, "\r\x1b[K{}", cut(text, width));
    std::fflush(stderr);
}

void clear_live() {
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
}

}  // namespace tmx
