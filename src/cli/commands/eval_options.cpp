#include "cli/commands/eval_options.h"

#include <fmt/core.h>

#include <algorithm>

#include "cli/commands/eval_arms.h"
#include "measure/hash.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr const char * k_eval_examples = R"(
Suites: fidelity     how far an arm's next-token distributions are from dense ones, behind documents; needs no ability
                     of the model, and sees small damage first
        ruler        13 tasks of RULER, made here; ruler/vt is one of them
        needle       one needle at chosen depths: a map of where it is found
        long-answer  a thousand tokens out of the prompt, word by word; ruler's answers have 128 at most
        gsm-infinite problems whose every statement counts
        longbench-e, longbench-v2, ruler-rows, gsm8k, aime24, ...: official files below --data (docs/evaluation.md)
Every example is given to all arms as the same token ids, and an answer attends densely to the whole prompt, so arms differ
in how the prompt was computed and in nothing else. What counts is the difference to dense on the same examples, with its
interval: PASS says that the arm is not worse by more than the margin, FAIL that it is, INCONCLUSIVE that more examples are
needed. A run that was stopped goes on with the same command, and so does one with a larger --n, more arms or lengths; what
was measured is in DIR/records.jsonl, the report in DIR/report.html, its rows in DIR/results.jsonl.
)";

constexpr const char * k_commands = R"(
Examples:
  trianglemix eval --suite fidelity,ruler --lengths 4096 -n 4
  trianglemix eval -m model.gguf --device TriangleMix0 --lengths 16384,30720 -n 40 --together 8 \
      --arms plan,20-27,14-27,noise,all-triangle -o eval-model
  trianglemix eval -m model.gguf --suite needle --lengths 8192,16384 --arms plan,a-shape -n 70 -o eval-model
)";

context_options context_of(const eval_options & options, const std::atomic<bool> & stop) {
    context_options context;
    context.n_ubatch = options.model.n_ubatch;
    context.n_threads = options.model.threads;
    context.stop = &stop;
    return context;
}

}  // namespace

void add_eval_options(CLI::App & app, eval_options & options) {
    static const std::string footer = std::string(k_eval_examples) + k_arm_help + k_commands;
    app.footer(footer);
    add_model_options(app, options.model);
    add_plan_options(app, options.plan);
    shown(app.add_option("--suite", options.suites, "what is asked, see below")->delimiter(','), "SUITE,...",
          "fidelity,ruler");
    shown(app.add_option("--lengths", options.lengths, "tokens of prompt and answer")
              ->delimiter(',')
              ->check(whole_number(256, 1 << 27)),
          "N,N,...", "4096");
    shown(app.add_option("--arms", options.arms, "ways of computing prompts, see below")->delimiter(','), "ARM,...",
          "plan,noise,all-triangle");
    shown(app.add_option("--arm", options.more_arms, "one more arm; may be given several times"), "ARM", "");
    shown(app.add_option("-n,--n", options.n, "examples of each task and length")->check(whole_number(1, 100'000)), "K",
          "10");
    shown(app.add_option("--together", options.n_together, "prompts that are answered together")
              ->check(whole_number(1, 32)),
          "N", "4");
    shown(app.add_option("--following", options.n_following, "fidelity: tokens compared behind a prompt")
              ->check(whole_number(2, 4096)),
          "N", "64");
    shown(app.add_option("--document", options.n_document, "fidelity: tokens of the document whose perplexity is taken")
              ->check(whole_number(1, 4096)),
          "N", "256");
    shown(app.add_option("--margin", options.margins.average, "points that a suite's average may lose")
              ->check(positive_number()),
          "POINTS", "1");
    shown(app.add_option("--task-margin", options.margins.task, "points that one task may lose")
              ->check(positive_number()),
          "POINTS", "3");
    shown(app.add_option("--seed", options.seed, "of everything random")->check(whole_number(0, k_most_tokens)), "N",
          "1");
    shown(app.add_option("--diversity", options.diversity,
                         "orders and places: anew in every example, or the same in all, as in the official RULER")
              ->check(CLI::IsMember({"fresh", "official"})),
          "fresh|official", "fresh");
    shown(app.add_option("--data", options.sources.data, "folder with official files (docs/evaluation.md)"), "DIR", "");
    shown(
        app.add_option("--essay", options.sources.essay, "text that needles are hidden in and documents are cut from"),
        "FILE|DIR", "made prose");
    shown(app.add_option("--words", options.sources.words, "lists of words (docs/evaluation.md)"), "FILE|DIR",
          "made words");
    shown(app.add_option("--operations", options.sources.operations, "gsm-infinite: what its problems take, in turn")
              ->delimiter(',')
              ->check(whole_number(1, 100)),
          "N,N,...", "2,3,4,5,6,8,10");
    shown(app.add_option("--codesim", options.code, "how LongBench's lines of code are compared")
              ->check(CLI::IsMember({"difflib", "lev"})),
          "difflib|lev", "difflib");
    shown(
        app.add_option("--time-limit", options.minutes, "begin nothing after that long; the same command goes on later")
            ->check(positive_number()),
        "MINUTES", "none");
    shown(app.add_option("-o,--out", options.folder, "folder of records and report"), "DIR", options.folder);
    shown(app.add_option("--append", options.append, "also append the result rows to this file"), "FILE", "");
    app.add_flag("--report-only", options.report_only, "measure nothing; report what is on file");
}

eval_settings settings_of(const eval_options & options, const model_facts & facts, const invocation & call) {
    eval_settings settings;
    settings.model_path = options.model.file();
    settings.model_sha256 = sha256_of_file(settings.model_path);
    settings.device = options.model.device;
    settings.suites = options.suites;
    settings.lengths = options.lengths;
    std::sort(settings.lengths.begin(), settings.lengths.end());
    settings.lengths.erase(std::unique(settings.lengths.begin(), settings.lengths.end()), settings.lengths.end());
    const int64_t limit = options.model.n_ctx > 0 ? options.model.n_ctx : facts.n_ctx_train;
    if (settings.lengths.back() > limit) {
        throw failure(fmt::format("--lengths {}: the model's context has {} tokens; give -c to go beyond",
                                  settings.lengths.back(), limit));
    }
    std::vector<std::string> typed = options.arms;
    typed.insert(typed.end(), options.more_arms.begin(), options.more_arms.end());
    settings.arms = arms_of(typed, options.plan, context_of(options, call.stop), facts);
    settings.n = options.n;
    settings.seed = static_cast<uint64_t>(options.seed);
    settings.frozen_order = options.diversity == "official";
    settings.n_together = static_cast<int32_t>(options.n_together);
    settings.n_following = options.n_following;
    settings.n_document = options.n_document;
    settings.folder = options.folder;
    settings.seconds_limit = 60 * options.minutes;
    source_options sources = options.sources;
    sources.code = options.code == "lev" ? code_rule::lev : code_rule::difflib;
    settings.sources = read_sources(sources);
    settings.data_identity = identity_of_data(settings);
    settings.stop = &call.stop;
    return settings;
}

}  // namespace tmx
