// `trianglemix eval`: what a plan does to a model's answers, by tasks and by the distributions behind long prompts.
#include <fmt/core.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "cli/arms.h"
#include "cli/commands/commands.h"
#include "cli/commands/eval_options.h"
#include "cli/commands/profile_outputs.h"
#include "cli/machine.h"
#include "cli/output_file.h"
#include "cli/terminal.h"
#include "eval/report/eval_report.h"
#include "eval/run/run_eval.h"
#include "profile/page/svg.h"

namespace tmx {
namespace {

using open_task_list = std::vector<std::unique_ptr<eval_task>>;

void print_suites(const eval_report & r) {
    text_table table({"suite", "length", "arm", "n", "dense", "arm's", "difference, 95%", "verdict", "TTFT"});
    bool any = false;
    for (const scored_arm & scored : r.arms) {
        for (const suite_result & s : scored.suites) {
            any = any || s.n > 0;
            if (s.n > 0) {
                table.add({s.suite, std::to_string(s.length), s.arm, std::to_string(s.n),
                           fmt::format("{:.1f}", s.reference), fmt::format("{:.1f}", s.other),
                           interval_text(s.difference, 1), name_of(s.shown),
                           fmt::format("{} s, {:.2f}x", show_number(s.ttft_other), s.ttft_reference / s.ttft_other)});
            }
        }
    }
    if (any) {
        fmt::print("\n{}", table.print(terminal_width(STDOUT_FILENO)));
    }
}

void print_fidelity(const eval_report & r) {
    text_table table({"fidelity", "arm", "n", "first KL", "following KL", "flips", "perplexity", "TTFT"});
    for (const fidelity_result & f : r.fidelity) {
        table.add({std::to_string(f.length), f.arm, std::to_string(f.n), show_number(f.first_kl.mean),
                   show_number(f.following_kl.mean), fmt::format("{:.2f}%", 100 * f.flips.mean),
                   fmt::format("{:+.2f}%", 100 * std::expm1(f.log_ratio.mean)),
                   fmt::format("{} s, {:.2f}x", show_number(f.ttft_other), f.ttft_reference / f.ttft_other)});
    }
    if (!r.fidelity.empty()) {
        fmt::print("\n{}", table.print(terminal_width(STDOUT_FILENO)));
    }
}

void write_outputs(const eval_report & r, const eval_options & options) {
    std::string rows;
    for (const auto & row : result_rows(r)) {
        rows += row.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
    write_file(options.folder + "/results.jsonl", rows);
    if (!options.append.empty()) {
        append_to_file(options.append, rows);
    }
    const std::string report = options.folder + "/report.html";
    write_file(report, report_html(r));
    draw_beside(report, eval_drawings(r));
    print_suites(r);
    print_fidelity(r);
    std::fflush(stdout);
    fmt::print(stderr, "{} has everything\n", report);
}

// Measures what is missing. True: the whole run is on file.
bool measure(const eval_settings & settings, const eval_options & options, backend & b, arm_models & models,
             const open_task_list & tasks, record_store & records) {
    if (records.n_found() > 0) {
        fmt::print(stderr, "going on with {} records in {}\n", records.n_found(), options.folder);
    }
    return with_screen(options.folder, [&](const progress_sink & sink) {
        return run_eval(b, models, settings, tasks, records, sink).complete;
    });
}

int eval(const eval_options & options, const invocation & call) {
    options.model.check_file();
    std::error_code error;
    std::filesystem::create_directories(options.folder, error);
    check_writable(options.folder + "/report.html");
    if (!options.append.empty()) {
        check_writable(options.append);
    }
    backend b(default_backend_paths(), options.model.verbose);
    model ours = load_model(options.model, call.stop);
    const eval_settings settings = settings_of(options, ours.facts(), call);
    const open_task_list tasks = open_tasks(settings);
    record_store records(options.folder + "/records.jsonl");
    // Arms of two kinds of contexts may be open at once.
    const int64_t n_tokens = 2 * context_of_run(settings) * settings.n_together;
    arm_models models = models_of_arms(b, std::move(ours), options.model, n_tokens, call.stop);
    const double start = seconds_now();
    const bool complete = options.report_only || measure(settings, options, b, models, tasks, records);
    const int32_t n_threads = options.model.threads > 0 ? options.model.threads : hardware_threads();
    const report_facts facts = facts_of_run(describe_device(settings.device), n_threads, call, seconds_now() - start);
    const eval_report report =
        make_report(settings, models.facts(), facts, options.margins, tasks, records, keys_of_run(settings, tasks));
    write_outputs(report, options);
    if (!complete) {
        fmt::print(stderr, "the time limit was reached with {} records missing; the same command goes on\n",
                   report.n_missing);
    }
    return 0;
}

}  // namespace

command add_eval(CLI::App & app) {
    auto options = std::make_shared<eval_options>();
    CLI::App * sub = app.add_subcommand("eval", "What a plan does to answers: tasks, fidelity, statistics, a report");
    add_eval_options(*sub, *options);
    return [options](const invocation & call) { return eval(*options, call); };
}

}  // namespace tmx
