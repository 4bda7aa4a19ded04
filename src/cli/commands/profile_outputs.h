// cli/commands/profile_outputs.h -- what the ways to profile have in common behind their options: the screen while they
// measure, and what stands beside their results.
#pragma once

#include <string>
#include <vector>

#include "cli/commands/commands.h"
#include "cli/commands/profile_screen.h"
#include "measure/progress.h"
#include "profile/page/page_parts.h"
#include "profile/settings.h"
#include "runtime/failure.h"

namespace tmx {

report_facts facts_of_run(const profile_settings & settings, const invocation & call, double seconds);

// Writes the report's drawings as files of their own. The plan and the report are there already: what hinders a
// drawing must not hide them.
void draw_beside(const std::string & report, const std::vector<report_drawing> & drawings);

void say_stopped(const profile_settings & settings);

// What `measure` gives, which shows its progress by the sink that it is called with. ERRORS those of `measure`;
// of `interrupted` the user is told how to go on.
template <class Measure>
auto with_screen(const profile_settings & settings, const Measure & measure) {
    try {
        profile_screen screen;
        return measure([&](const run_progress & p) { screen.show(p); });
    } catch (const interrupted &) {
        // Behind the screen's end, which clears its line.
        say_stopped(settings);
        throw;
    }
}

}  // namespace tmx
