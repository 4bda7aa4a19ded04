#include "cli/commands/profile_options.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <utility>

#include "cli/input_file.h"
#include "cli/output_file.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "measure/hash.h"
#include "planner/menu.h"
#include "profile/policy.h"
#include "profile/prompt_check.h"
#include "profile/scores.h"

namespace tmx {
namespace {

std::vector<std::string> read_all(const std::vector<std::string> & paths) {
    std::vector<std::string> texts;
    for (const std::string & path : paths) {
        text_document read = read_document(path);
        show_note(read.note);
        texts.push_back(std::move(read.text));
    }
    return texts;
}

// Asked about each context where a menu is measured; the context is computed once.
constexpr int64_t k_menu_questions = 4;

std::string record_path_of(const profile_options & options) {
    return options.out + ".records.jsonl";
}

prompt_settings prompts_of(const profile_options & options) {
    prompt_settings prompts = options.settings.prompts;
    prompts.lengths = options.lengths;
    prompts.check_lengths = options.check_lengths;
    prompts.questions = options.questions.value_or(options.menu && !options.settings.quick ? k_menu_questions : 1);
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
    if (options.menu) {
        s.gradient = false;
        return;  // the planner measures each choice in llama.cpp
    }
    const settled_method method =
        settle_method({options.method, options.ablate_in, options.score, set_given}, ask_probe(s.model_path));
    s.gradient = method.gradient;
    s.ablation = method.ablation;
    s.ablate_in = method.ablate_in;
    s.score = method.score;
    show_notes(method.notes);
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
    shown(sub.add_option("--check-length", options.check_lengths, "tokens of made prompts that check the choice")
              ->delimiter(',')
              ->check(whole_number(k_shortest_made_prompt, 1 << 22)),
          "L[,L...]", "as --length");
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

std::vector<menu_entry> menu_of(const profile_options & options) {
    if (!options.menu) {
        return {};
    }
    try {
        return parse_menu(*options.menu, options.settings.shape, options.settings.quick);
    } catch (const contradiction & error) {
        throw usage_error(error.what());
    }
}

planner_aim aim_of(const profile_options & options) {
    return options.aim == "pairs" ? planner_aim::pairs : planner_aim::time;
}

std::optional<start_plan> start_of(const profile_options & options, const model_shape & model) {
    if (options.start.empty()) {
        return std::nullopt;
    }
    const parsed<plan> read = load_plan(options.start);
    if (!read.ok()) {
        throw usage_error(fmt::format("--start: {}", read.error));
    }
    try {
        return make_start(options.start, read.value, model, options.settings.shape);
    } catch (const contradiction & error) {
        throw usage_error(error.what());
    }
}

void add_profile_options(CLI::App & sub, profile_options & options) {
    profile_settings & s = options.settings;
    add_model_options(sub, options.model);
    add_prompt_options(sub, options);
    CLI::Option * menu =
        shown(sub.add_option("--menu", options.menu,
                             fmt::format("choose what each layer takes, for the fastest mix within --kl-budget: {}",
                                         fmt::join(menu_names(), ", "))),
              "ENTRY[,ENTRY...]", "");
    shown(sub.add_option("--aim", options.aim, "of a menu: the fastest mix here, or the one of the fewest pairs")
              ->check(CLI::IsMember({"time", "pairs"}))
              ->needs(menu),
          "time|pairs", "time");
    sub.add_flag("--plan-only", options.plan_only,
                 "of a menu: leave out the search with Triangle attention alone, which is shown beside the plan")
        ->needs(menu);
    CLI::Option * start =
        shown(sub.add_option("--start", options.start,
                             "of a menu: a plan of Triangle layers and heads that every mix keeps, but for those that "
                             "do most harm"),
              "PLAN", "")
            ->needs(menu);
    shown(sub.add_option("--start-share", options.start_share,
                         "of --kl-budget, that --start may take by itself: beyond it heads are given back")
              ->check(share())
              ->needs(start),
          "S", "0.5");
    shown(sub.add_option("--questions", options.questions, "of a menu: asked about each made context, computed once")
              ->check(whole_number(1, k_most_questions))
              ->needs(menu),
          "N", "4; with --quick 1");
    CLI::Option * method =
        shown(sub.add_option("--method", options.method, "how layers are judged")
                  ->check(CLI::IsMember({"gradient", "ablation", "both"})),
              "gradient|ablation|both", "gradient where the file is one for it, else ablation; none with --layers");
    CLI::Option * place =
        shown(sub.add_option("--ablate-in", options.ablate_in, "what computes layers made triangle alone")
                  ->check(CLI::IsMember({"probe", "llama.cpp"})),
              "probe|llama.cpp", "the f32 probe where it reads the file");
    std::vector<std::string> scores = {"ablation"};
    for (const score_kind & kind : score_kinds()) {
        scores.emplace_back(kind.name);
    }
    CLI::Option * order =
        shown(sub.add_option("--order-by", options.score, "what orders layers")->check(CLI::IsMember(scores)), "SCORE",
              "ablation where it is measured, else contribution");
    CLI::Option * heads = sub.add_flag(
        "--per-head", s.per_head, "choose single heads instead of layers; with --menu, in layers that take nothing");
    CLI::Option * select = shown(sub.add_option("--select", options.select, "so many, the least important")
                                     ->check(whole_number(0, k_most_tokens)),
                                 "N", "");
    CLI::Option * threshold =
        shown(sub.add_option("--threshold", options.threshold, "those whose score is at most T"), "T", "");
    CLI::Option * budget =
        shown(sub.add_option("--kl-budget", options.kl_budget, "as many as keep the mean first-token KL within B nats")
                  ->check(positive_number()),
              "B", "0.01");
    select->excludes(threshold)->excludes(budget);
    threshold->excludes(budget);
    CLI::Option * layers =
        shown(sub.add_option("--layers", options.layers, "choose nothing: check this set"), "SET", "")
            ->excludes(select)
            ->excludes(threshold)
            ->excludes(budget)
            ->excludes(heads);
    CLI::Option * yardsticks =
        sub.add_flag("--yardsticks", s.yardsticks,
                     "measure stock llama.cpp's own variations beside the check: settings, and its q8_0 cache");
    CLI::Option * curve = sub.add_flag("--curve", s.curve, "measure the KL of the growing set, from one to all");
    for (CLI::Option * other : {method, place, order, select, threshold, layers, yardsticks, curve}) {
        menu->excludes(other);
    }
    shown(sub.add_option("--tokens", s.n_following, "dense continuation tokens compared behind the first")
              ->check(whole_number(0, 4096)),
          "N", "16");
    shown(sub.add_option("--sink", s.shape.n_sink, "first tokens that every row sees")
              ->check(whole_number(0, k_most_tokens)),
          "N", "8");
    shown(sub.add_option("--window", s.shape.n_window, "recent tokens that every row sees")
              ->check(whole_number(1, k_most_tokens)),
          "N", "512");
    shown(sub.add_option("--last", s.shape.n_last, "rows at the prompt's end that see everything")
              ->check(whole_number(0, k_most_tokens)),
          "N", "128");
    shown(sub.add_option("--precision", s.precision, "of sets that are measured, and of the plan")
              ->check(CLI::IsMember({"exact", "fast"})),
          "exact|fast", "exact");
    shown(sub.add_option("-o,--out", options.out, "the plan"), "FILE", "plan.json");
    shown(sub.add_option("--report", options.report, "HTML page, with PNGs and SVGs beside it"), "FILE", "");
    shown(sub.add_option("--scores", options.scores, "JSON lines: every measurement behind the plan"), "FILE", "");
    shown(sub.add_option("--findings", options.findings,
                         "append what was found: correlations, curve, check, yardsticks, a JSON line each"),
          "FILE", "");
}

}  // namespace tmx
