// cli/commands/profile_outputs.h -- what the ways to profile, and `eval`, have in common behind their options: the
// screen while they measure, and what stands beside their results.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/commands/commands.h"
#include "cli/commands/profile_screen.h"
#include "measure/progress.h"
#include "profile/page/page_parts.h"
#include "runtime/failure.h"

namespace tmx {

// device: for people; "": the CPU.
report_facts facts_of_run(const std::string & device, int32_t n_threads, const invocation & call, double seconds);

// Writes the report's drawings as files of their own. The plan and the report are there already: what hinders a
// drawing must not hide them.
void draw_beside(const std::string & report, const std::vector<report_drawing> & drawings);

void say_stopped(const std::string & measured);

// What `measure` gives, which shows its progress by the sink that it is called with. ERRORS those of `measure`;
// of `interrupted` the user is told how to go on. measured: the file or folder of what was measured.
template <class Measure>
auto with_screen(const std::string & measured, const Measure & measure) {
    try {
        profile_screen screen;
        return measure([&](const run_progress & p) { screen.show(p); });
    } catch (const interrupted &) {
        // Behind the screen's end, which clears its line.
        say_stopped(measured);
        throw;
    }
}

}  // namespace tmx
