// `trianglemix profile`: find, for a model, which layers can take Triangle attention, and write the plan.
#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "cli/commands/commands.h"
#include "cli/commands/profile_menu.h"
#include "cli/commands/profile_options.h"
#include "cli/commands/profile_outputs.h"
#include "cli/machine.h"
#include "cli/output_file.h"
#include "cli/terminal.h"
#include "profile/findings.h"
#include "profile/page/svg.h"
#include "profile/pair_share.h"
#include "profile/policy.h"
#include "profile/profiler.h"
#include "profile/prompt_check.h"
#include "profile/report.h"
#include "profile/report_drawings.h"
#include "prompts/prompt_pool.h"

namespace tmx {
namespace {

constexpr const char * k_profile_examples = R"(
Methods: gradient  derivative of the first token's logit by every attention weight (llama, qwen2, qwen3 files)
         ablation  each layer alone made triangle, compared with dense: slower, any model that the backend runs
         both      ... and how well the first predicts the second
         --menu    what each layer takes best: Triangle attention, a dynamic method, or nothing, below
Files that the gradient method reads are ablated in f32 too, each layer from its own upwards; others in llama.cpp.
Whatever was measured is kept beside the plan, in PLAN.records.jsonl: a stopped run goes on with the same command, and
another way to choose measures nothing twice. docs/profile.md has the formulas.

Menu: names of what a layer may be instead of dense, with commas between: triangle, and the dynamic methods. A method
with values is one entry (stride:stride=10), alone it stands for a short list of settings; triangle:window=1024 has a
window of its own, triangle+stride:stride=10 is both in one layer. Each entry is measured in each layer alone, in
llama.cpp, first on the shortest prompts; what another entry beats is dropped, the rest is measured again on the
longest. Taken is the fastest combination that a search finds within --kl-budget, on prompts kept back, too, at every
length; with --aim pairs the one that computes the fewest attention pairs. --start PLAN: its triangle layers and heads
(of a run with --per-head, say) stay, and an entry is what the layer's other heads do; where they take more than
--start-share of the budget alone, those that do most of the harm are found by measuring, and given back first. With
--per-head, layers that take nothing as a whole are looked at head by head, and so is a start that takes much.

Examples:
  trianglemix profile --quick -m model.gguf -o plan.json
  trianglemix profile -m model.gguf --kl-budget 0.01 -o plan.json --report plan.html
  trianglemix profile -m model.gguf --method both --length 4096,7600 --samples 3 --select 15 -o plan.json --curve
  trianglemix profile -m model.gguf --layers 10-29 --yardsticks --length 4096 -o checked.json --report checked.html
  trianglemix profile -m model.gguf --menu triangle,stride --kl-budget 0.01 --length 4096,16384 --report mix.html
  trianglemix profile -m model.gguf --menu prism --start heads.json --per-head --aim pairs --report mix.html
  trianglemix profile -m model.gguf --data prompts.jsonl --select 12 --per-head -o plan.json
)";

// What the user set stays. REQUIRES no CUDA call in this process yet, and our backend not loaded.
void prepare_environment(const profile_settings & s) {
    for (const environment_variable & each : measuring_environment(s.device, uses_probe(s))) {
        setenv(each.name.c_str(), each.value.c_str(), 0);
    }
}

// All of them, so that a mistake is met before anything is measured.
prompt_pool make_prompts(const profile_settings & s, const model & m) {
    prompt_pool prompts(m, s.prompts);
    const std::vector<std::string> notes = check_prompts(sizes_of(prompts), s, m.facts().n_ctx_train);
    show_notes(prompts.notes());
    show_notes(notes);
    return prompts;
}

void print_result(const profile_options & options, const profile_settings & s, const profile_result & r) {
    const auto tokens = [](int64_t n) { return show_number(static_cast<double>(n)) + " tokens"; };
    const auto pairs = [&](int64_t n) {
        return fmt::format("{:.1f}% at {}", 100 * pairs_kept(r.value, n, r.facts.windows), tokens(n));
    };
    const auto line = [width = line_width(STDOUT_FILENO)](const std::string & text) {
        fmt::print("{}\n", wrap(text, width, 2));
    };
    line(fmt::format("{} of {} {} triangle: {}", r.chosen.size, r.units.size(), s.per_head ? "heads" : "layers",
                     format_units(chosen_units(r))));
    if (!r.check.empty()) {
        const effect_summary check = summarise(r.check);
        line(fmt::format("checked on {} other prompts of up to {}: mean first-token KL {} nats, worst {}",
                         r.check.size(), tokens(r.measured_up_to), show_number(check.first_kl),
                         show_number(check.worst_first_kl)));
    }
    if (!r.ablation.gaps.empty()) {
        line(fmt::format("layers alone were computed in f32; llama.cpp's rounding on this file is a KL of {}",
                         show_number(mean_first_kl(r.ablation.gaps))));
    }
    for (const score_quality & q : r.qualities) {
        const interval & rank = q.rank_correlation;
        fmt::print("{:>21}: rank correlation with measured KL {:.3f}{}\n", q.score, rank.value,
                   r.gradients.size() < 3 ? "" : fmt::format(" ({:.3f} to {:.3f})", rank.low, rank.high));
    }
    const bool context_is_longer = r.facts.n_ctx_train > r.measured_up_to;
    line(fmt::format("attention pairs computed: {}, as measured{}", pairs(r.measured_up_to),
                     context_is_longer ? "; " + pairs(r.facts.n_ctx_train) + ", the model's context" : ""));
    line("plan: " + options.out);
    if (far_beyond(r.facts.n_ctx_train, r.measured_up_to)) {
        line(fmt::format(
            "It was measured on prompts of up to {}; the model reads {}. What it does to answers beyond is not "
            "known: --length measures it.",
            tokens(r.measured_up_to), tokens(r.facts.n_ctx_train)));
    }
}

void run_layers(const profile_options & options, const profile_settings & settings, backend & b, const model & m,
                const prompt_pool & prompts, const invocation & call) {
    const double start = seconds_now();
    const profile_result result = with_screen(
        settings.record_path, [&](const progress_sink & sink) { return run_profile(settings, b, m, prompts, sink); });
    const report_facts facts =
        facts_of_run(settings.device_description, settings.n_threads, call, seconds_now() - start);
    write_file(options.out, write_plan(result.value));
    if (!options.scores.empty()) {
        write_file(options.scores, scores_jsonl(result));
    }
    if (!options.findings.empty()) {
        append_to_file(options.findings, findings_jsonl(settings, result, facts));
    }
    if (!options.report.empty()) {
        write_file(options.report, report_html(settings, result, facts));
        draw_beside(options.report, report_drawings(settings, result));
    }
    print_result(options, settings, result);
}

int run(const profile_options & options, const invocation & call) {
    options.model.check_file();
    const std::vector<menu_entry> menu = menu_of(options);
    check_outputs(options);
    profile_settings settings = settings_of(options, call);
    prepare_environment(settings);
    backend b(default_backend_paths(), options.model.verbose);
    settings.device_description = describe_device(settings.device);
    const model m = load_model(options.model, call.stop);
    show_note(settle_set(settings, options.layers, m.facts()));
    check_count(settings, m.facts());
    settings.prompts.lengths = settle_lengths(settings, m.facts().n_ctx_train);
    const prompt_pool prompts = make_prompts(settings, m);
    if (std::filesystem::exists(settings.record_path)) {
        fmt::print(stderr, "going on with {}\n", settings.record_path);
    }
    if (menu.empty()) {
        run_layers(options, settings, b, m, prompts, call);
    } else {
        run_menu(options,
                 {settings, menu, aim_of(options), options.plan_only, start_of(options, shape_of(m.facts())),
                  options.start_share},
                 b, m, prompts, call);
    }
    return 0;
}

}  // namespace

command add_profile(CLI::App & app) {
    auto options = std::make_shared<profile_options>();
    CLI::App * sub =
        app.add_subcommand("profile", "Find which layers of a model can take Triangle attention; write a plan");
    sub->footer(k_profile_examples);
    add_profile_options(*sub, *options);
    return [options](const invocation & call) { return run(*options, call); };
}

}  // namespace tmx
