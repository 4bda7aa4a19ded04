#include "cli/profile_screen.h"

#include <fmt/core.h>

#include <cstdio>

#include "cli/terminal.h"
#include "runtime/arm.h"

namespace tmx {

void profile_screen::show(const profile_progress & p) {
    const double now = seconds_now();
    const char * clear = live_ ? "\r\x1b[K" : "";
    if (p.stage.empty()) {
        fmt::print(stderr, "{}{}: about {} in all\n", clear, p.item, show_seconds(p.seconds_left));
        return;
    }
    const std::string left = p.seconds_left >= 0 ? ", " + show_seconds(p.seconds_left) + " left" : "";
    if (p.item_ended) {
        fmt::print(stderr, "{}{:>8} {:3.0f}%  {}{}\n", clear, p.stage, 100 * p.share, p.item, left);
    } else if (live_ && now - last_ > 0.2) {
        fmt::print(stderr, "{}{:>8} {:3.0f}%  {}{}", clear, p.stage, 100 * p.share, p.item, left);
        std::fflush(stderr);
        last_ = now;
    }
}

profile_screen::~profile_screen() {
    if (live_) {
        fmt::print(stderr, "\r\x1b[K");
    }
}

}  // namespace tmx
