#include "cli/commands/profile_menu.h"

#include <fmt/core.h>
#include <unistd.h>

#include "cli/output_file.h"
#include "cli/terminal.h"
#include "planner/mix_drawings.h"
#include "planner/mix_report.h"
#include "planner/mix_rows.h"
#include "planner/planner.h"

namespace tmx {

void run_menu(const profile_options & options, const planner_settings & settings, backend & b, const model & m,
              const prompt_pool & prompts, const invocation & call) {
    const double start = seconds_now();
    const profile_settings & base = settings.base;
    const planner_result result = with_screen(
        base.record_path, [&](const progress_sink & sink) { return run_planner(settings, b, m, prompts, sink); });
    const report_facts facts = facts_of_run(base.device_description, base.n_threads, call, seconds_now() - start);
    write_file(options.out, write_plan(result.value));
    if (!options.scores.empty()) {
        write_file(options.scores, mix_scores_jsonl(result));
    }
    if (!options.findings.empty()) {
        append_to_file(options.findings, mix_findings_jsonl(settings, result, facts));
    }
    if (!options.report.empty()) {
        write_file(options.report, mix_report_html(settings, result, facts));
        draw_beside(options.report, mix_drawings(settings, result));
    }
    const int width = line_width(STDOUT_FILENO);
    for (const std::string & line : mix_summary(settings, result)) {
        fmt::print("{}\n", wrap(line, width, 2));
    }
    fmt::print("plan: {}\n", options.out);
}

}  // namespace tmx
