#include "cli/commands/profile_outputs.h"

#include <fmt/core.h>

#include <filesystem>

#include "cli/build_info.h"
#include "cli/machine.h"
#include "cli/plot.h"
#include "cli/terminal.h"

namespace tmx {

report_facts facts_of_run(const std::string & device, int32_t n_threads, const invocation & call, double seconds) {
    const std::string computed_on = device.empty() ? "" : ", " + device;
    return {call.command_line,  fmt::format("{}, {} threads{}", cpu_name(), n_threads, computed_on),
            program_version(),  source_commit(),
            utc_time(),         seconds,
            peak_memory_bytes()};
}

void draw_beside(const std::string & report, const std::vector<report_drawing> & drawings) {
    const std::string prefix = std::filesystem::path(report).replace_extension().string();
    std::string problem;
    try {
        for (const report_drawing & drawing : drawings) {
            problem = write_drawing(prefix + "-" + drawing.name, drawing.svg);
        }
    } catch (const failure & error) {
        problem = error.what();
    }
    if (!problem.empty()) {
        tell(fmt::format("note: not all drawings are beside the report: {}", problem));
    }
}

void say_stopped(const std::string & measured) {
    fmt::print(stderr, "stopped; what was measured is in {}, the same command goes on from there\n", measured);
}

}  // namespace tmx
