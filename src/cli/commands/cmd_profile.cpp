// `trianglemix profile`: find, for a model, which layers can take Triangle attention, and write the plan.
#include <fmt/core.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "cli/build_info.h"
#include "cli/commands/commands.h"
#include "cli/commands/profile_screen.h"
#include "cli/input_file.h"
#include "cli/machine.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/plot.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "measure/hash.h"
#include "profile/findings.h"
#include "profile/pair_share.h"
#include "profile/policy.h"
#include "profile/profiler.h"
#include "profile/prompt_check.h"
#include "profile/report.h"
#include "profile/report_drawings.h"
#include "profile/svg.h"
#include "prompts/prompt_pool.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr const char * k_examples = R"(
Methods: gradient  derivative of the first token's logit by every attention weight (llama, qwen2, qwen3 files)
         ablation  each layer alone made triangle, compared with dense: slower, any model that the backend runs
         both      ... and how well the first predicts the second
Files that the gradient method reads are ablated in f32 too, each layer from its own upwards; others in llama.cpp.
Whatever was measured is kept beside the plan, in PLAN.records.jsonl: a stopped run goes on with the same command, and
another way to choose measures nothing twice. docs/profile.md has the formulas.

Examples:
  trianglemix profile --quick -m model.gguf -o plan.json
  trianglemix profile -m model.gguf --kl-budget 0.01 -o plan.json --report plan.html
  trianglemix profile -m model.gguf --method both --length 4096,7600 --samples 3 --select 15 -o plan.json --curve
  trianglemix profile -m model.gguf --layers 10-29 --yardsticks --length 4096 -o checked.json --report checked.html
  trianglemix profile -m model.gguf --data prompts.jsonl --select 12 --per-head -o plan.json
)";

struct profile_options {
    model_options model;
    profile_settings settings;
    std::vector<std::string> kinds;
    std::vector<int64_t> lengths;  // empty: default_lengths()
    std::optional<int64_t> samples, check_samples;
    std::string data;
    std::vector<std::string> texts;
    std::vector<std::string> check_texts;
    std::string method;
    std::string ablate_in;
    std::string score;
    std::string layers;
    std::optional<int64_t> select;
    std::optional<double> threshold;
    std::optional<double> kl_budget;
    std::string out = "plan.json";
    std::string report;
    std::string scores;
    std::string findings;
};

void show_note(const std::string & note) {
    if (!note.empty()) {
        tell("note: " + note);
    }
}

void show_notes(const std::vector<std::string> & notes) {
    for (const std::string & note : notes) {
        show_note(note);
    }
}

std::vector<std::string> read_all(const std::vector<std::string> & paths) {
    std::vector<std::string> texts;
    for (const std::string & path : paths) {
        text_document read = read_document(path);
        show_note(read.note);
        texts.push_back(std::move(read.text));
    }
    return texts;
}

std::string record_path_of(const profile_options & options) {
    return options.out + ".records.jsonl";
}

// The files that are written must be there to write, and no two of them the same, nor one that is read.
void check_outputs(const profile_options & options) {
    if (options.out.empty()) {
        throw usage_error("-o needs a file name");
    }
    std::map<std::string, std::string> taken;
    const auto take = [&](const std::string & what, const std::string & path) {
        const auto [other, is_new] = taken.emplace(std::filesystem::weakly_canonical(path).string(), what);
        if (!is_new) {
            throw usage_error(fmt::format("{} and {} are the same file, {}", other->second, what, path));
        }
    };
    take("the model", options.model.file());
    if (!options.data.empty()) {
        take("--data", options.data);
    }
    const std::pair<std::string, std::string> written[] = {{"-o", options.out},
                                                           {"the records of -o", record_path_of(options)},
                                                           {"--report", options.report},
                                                           {"--scores", options.scores},
                                                           {"--findings", options.findings}};
    for (const auto & [what, path] : written) {
        if (!path.empty()) {
            take(what, path);
            check_writable(path);
        }
    }
}

prompt_settings prompts_of(const profile_options & options) {
    prompt_settings prompts = options.settings.prompts;
    prompts.lengths = options.lengths;
    for (const std::string & kind : options.kinds) {
        prompts.kinds.push_back(parse_prompt_kind(kind));
    }
    if (!options.data.empty()) {
        prompts.data = read_data_file(options.data);
        prompts.data_path = options.data;
        prompts.data_sha256 = sha256_of_file(options.data);
    }
    prompts.texts = read_all(options.texts);
    prompts.check_texts = read_all(options.check_texts);
    return settle_prompts(std::move(prompts), options.samples, options.check_samples, options.settings.quick);
}

// How layers are judged and chosen. ERRORS contradiction, failure.
void settle_choice(const profile_options & options, profile_settings & s) {
    const bool set_given = !options.layers.empty();
    const settled_size size =
        settle_size({set_given, options.select, options.threshold, options.kl_budget}, s.prompts.check_samples);
    s.how = size.how;
    s.value = size.value;
    const settled_method method =
        settle_method({options.method, options.ablate_in, options.score, set_given}, ask_probe(s.model_path));
    s.gradient = method.gradient;
    s.ablation = method.ablation;
    s.ablate_in = method.ablate_in;
    s.score = method.score;
    show_notes(method.notes);
}

profile_settings settings_of(const profile_options & options, const invocation & call) {
    profile_settings s = options.settings;
    s.model_path = options.model.file();
    s.prompts = prompts_of(options);
    try {
        settle_choice(options, s);
    } catch (const contradiction & error) {
        throw usage_error(error.what());
    }
    s.n_threads = options.model.threads > 0 ? options.model.threads : hardware_threads();
    s.n_ubatch = options.model.n_ubatch;
    s.n_ctx = options.model.n_ctx;
    s.device = options.model.device;
    s.record_path = record_path_of(options);
    s.stop = &call.stop;
    return s;
}

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

profile_result measure(const profile_settings & settings, backend & b, const model & m, const prompt_pool & prompts) {
    try {
        profile_screen screen;
        return run_profile(settings, b, m, prompts, [&](const run_progress & p) { screen.show(p); });
    } catch (const interrupted &) {
        // Behind the screen's end, which clears its line.
        fmt::print(stderr, "stopped; what was measured is in {}, the same command goes on from there\n",
                   settings.record_path);
        throw;
    }
}

// Writes the report's drawings as files of their own. The plan and the report are there already: what hinders a
// drawing must not hide them.
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

int run(const profile_options & options, const invocation & call) {
    options.model.check_file();
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
    const double start = seconds_now();
    const profile_result result = measure(settings, b, m, prompts);
    const double seconds = seconds_now() - start;
    write_file(options.out, write_plan(result.value));
    if (!options.scores.empty()) {
        write_file(options.scores, scores_jsonl(result));
    }
    const std::string device = settings.device.empty() ? "" : ", " + settings.device_description;
    const report_facts facts = {
        call.command_line,  fmt::format("{}, {} threads{}", cpu_name(), settings.n_threads, device),
        program_version(),  source_commit(),
        utc_time(),         seconds,
        peak_memory_bytes()};
    if (!options.findings.empty()) {
        append_to_file(options.findings, findings_jsonl(settings, result, facts));
    }
    if (!options.report.empty()) {
        write_file(options.report, report_html(settings, result, facts));
        draw_beside(options.report, report_drawings(settings, result));
    }
    print_result(options, settings, result);
    return 0;
}

void add_prompt_options(CLI::App & sub, profile_options & options) {
    prompt_settings & prompts = options.settings.prompts;
    shown(sub.add_option("--builtin", options.kinds, "made prompts: key-value retrieval, needle in text, questions")
              ->delimiter(',')
              ->check(CLI::IsMember({"kv", "needle", "doc"})),
          "kv,needle,doc", "all three, unless --data");
    shown(sub.add_option("--data", options.data, "own prompts, JSON lines: docs/profile.md")->check(CLI::ExistingFile),
          "FILE", "");
    shown(sub.add_option("--length", options.lengths, "tokens of made prompts")
              ->delimiter(',')
              ->check(whole_number(k_shortest_made_prompt, 1 << 22)),
          "L[,L...]", "the context, at most 8192, and half of it");
    shown(sub.add_option("--samples", options.samples, "of each kind and length, to choose layers with")
              ->check(whole_number(1, 100000)),
          "K", "2");
    shown(sub.add_option("--check-samples", options.check_samples, "of each kind and length, to check the choice with")
              ->check(whole_number(0, 100000)),
          "K", "1");
    sub.add_flag("--quick", options.settings.quick,
                 "a first look: defaults of one length of at most 2048 and one sample; the plan says so");
    shown(sub.add_option("--seed", prompts.seed, "of made prompts"), "N", "1");
    shown(sub.add_option("--texts", options.texts, "files that made prompts take their text from")->delimiter(','),
          "FILE[,FILE...]", "made prose");
    shown(sub.add_option("--check-texts", options.check_texts, "... those that check the choice")->delimiter(','),
          "FILE[,FILE...]", "as --texts");
    sub.add_flag("--known-target", prompts.known_target,
                 "probe the right answer's first token where it is known, not the model's own");
}

}  // namespace

command add_profile(CLI::App & app) {
    auto options = std::make_shared<profile_options>();
    profile_settings & s = options->settings;
    CLI::App * sub =
        app.add_subcommand("profile", "Find which layers of a model can take Triangle attention; write a plan");
    sub->footer(k_examples);
    add_model_options(*sub, options->model);
    add_prompt_options(*sub, *options);
    shown(sub->add_option("--method", options->method, "how layers are judged")
              ->check(CLI::IsMember({"gradient", "ablation", "both"})),
          "gradient|ablation|both", "gradient where the file is one for it, else ablation; none with --layers");
    shown(sub->add_option("--ablate-in", options->ablate_in, "what computes layers made triangle alone")
              ->check(CLI::IsMember({"probe", "llama.cpp"})),
          "probe|llama.cpp", "the f32 probe where it reads the file");
    std::vector<std::string> scores = {"ablation"};
    for (const score_kind & kind : score_kinds()) {
        scores.emplace_back(kind.name);
    }
    shown(sub->add_option("--order-by", options->score, "what orders layers")->check(CLI::IsMember(scores)), "SCORE",
          "ablation where it is measured, else contribution");
    CLI::Option * heads = sub->add_flag("--per-head", s.per_head, "choose single heads instead of layers");
    CLI::Option * select = shown(sub->add_option("--select", options->select, "so many, the least important")
                                     ->check(whole_number(0, k_most_tokens)),
                                 "N", "");
    CLI::Option * threshold =
        shown(sub->add_option("--threshold", options->threshold, "those whose score is at most T"), "T", "");
    CLI::Option * budget = shown(
        sub->add_option("--kl-budget", options->kl_budget, "as many as keep the mean first-token KL within B nats")
            ->check(positive_number()),
        "B", "0.01");
    select->excludes(threshold)->excludes(budget);
    threshold->excludes(budget);
    shown(sub->add_option("--layers", options->layers, "choose nothing: check this set"), "SET", "")
        ->excludes(select)
        ->excludes(threshold)
        ->excludes(budget)
        ->excludes(heads);
    sub->add_flag("--yardsticks", s.yardsticks,
                  "measure stock llama.cpp's own variations beside the check: settings, and its q8_0 cache");
    sub->add_flag("--curve", s.curve, "measure the KL of the growing set, from one to all");
    shown(sub->add_option("--tokens", s.n_following, "dense continuation tokens compared behind the first")
              ->check(whole_number(0, 4096)),
          "N", "16");
    shown(sub->add_option("--sink", s.shape.n_sink, "first tokens that every row sees")
              ->check(whole_number(0, k_most_tokens)),
          "N", "8");
    shown(sub->add_option("--window", s.shape.n_window, "recent tokens that every row sees")
              ->check(whole_number(1, k_most_tokens)),
          "N", "512");
    shown(sub->add_option("--last", s.shape.n_last, "rows at the prompt's end that see everything")
              ->check(whole_number(0, k_most_tokens)),
          "N", "128");
    shown(sub->add_option("--precision", s.precision, "of sets that are measured, and of the plan")
              ->check(CLI::IsMember({"exact", "fast"})),
          "exact|fast", "exact");
    shown(sub->add_option("-o,--out", options->out, "the plan"), "FILE", "plan.json");
    shown(sub->add_option("--report", options->report, "HTML page, with PNGs and SVGs beside it"), "FILE", "");
    shown(sub->add_option("--scores", options->scores, "JSON lines: every measurement behind the plan"), "FILE", "");
    shown(sub->add_option("--findings", options->findings,
                          "append what was found: correlations, curve, check, yardsticks, a JSON line each"),
          "FILE", "");
    return [options](const invocation & call) { return run(*options, call); };
}

}  // namespace tmx
