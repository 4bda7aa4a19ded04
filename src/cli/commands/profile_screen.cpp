#include "cli/commands/profile_screen.h"

#include <fmt/core.h>

#include "cli/terminal.h"
#include "cli/text_layout.h"
#include "runtime/arm.h"

namespace tmx {

void profile_screen::show(const run_progress & p) {
    const std::string left = p.seconds_left >= 0 ? ", " + show_seconds(p.seconds_left) + " left" : "";
    const std::string line = fmt::format("{:>8} {:3.0f}%  {}{}", p.stage, 100 * p.share, p.item, left);
    const double now = seconds_now();
    if (p.stage.empty()) {
        stay(fmt::format("{}: about {} in all", p.item, show_seconds(p.seconds_left)));
    } else if (p.item_ended) {
        stay(line);
    } else if (live_ && now - last_ > 0.2) {
        show_live(line);
        last_ = now;
    }
}

void profile_screen::stay(const std::string & line) {
    if (live_) {
        clear_live();
    }
    const int width = line_width(STDERR_FILENO);
    const bool fits = columns(line) <= static_cast<size_t>(width);
    fmt::print(stderr, "{}\n", fits ? line : wrap(line, width, 2));
}

profile_screen::~profile_screen() {
    if (live_) {
        clear_live();
    }
}

}  // namespace tmx
