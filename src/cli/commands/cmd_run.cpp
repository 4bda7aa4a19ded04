// `trianglemix run`: answer a question about a long document, and say what it cost.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "cli/build_info.h"
#include "cli/commands/commands.h"
#include "cli/compare.h"
#include "cli/input_file.h"
#include "cli/options.h"
#include "cli/prefill_progress.h"
#include "cli/terminal.h"
#include "runtime/failure.h"
#include "runtime/statistics.h"

namespace tmx {
namespace {

constexpr const char * k_default_document = "/usr/share/common-licenses/GPL-3";
constexpr const char * k_default_question = "What is the name of this license?";

constexpr const char * k_run_examples = R"(
The prompt is the document, an empty line, and the question, as one user message in the model's chat template.
Without -m, -f and -q the embedded model answers a question about Debian's copy of the GPL (7,600 tokens).

Examples:
  trianglemix run                                       the embedded demonstration
  trianglemix run --compare                             ... by stock llama.cpp, exactly, and with the plan, side by side
  trianglemix run --compare --stock on-512 --repeat 3   ... against one setting of stock's, medians of 3
  trianglemix run -m model.gguf -f report.txt -q "What was decided?" --plan my-plan.json
  trianglemix run -m model.gguf -f report.txt -q "What was decided?" --layers 16-31 --window 1024
  pdftotext report.pdf - | trianglemix run -m model.gguf -f - -q "What was decided?" --exact --json
)";

struct run_options {
    model_options model;
    plan_options plan;
    compare_options compare;
    std::string document = k_default_document;
    std::string question;
    bool raw = false;
    bool do_compare = false;
    bool json = false;
};

// What the model is asked, as it was found before the model was loaded.
struct task {
    text_document document;
    std::string question;  // "" = none

    std::string describe() const {
        return document.describe() + (question.empty() ? "; no question" : "; question: " + question);
    }
};

task read_task(const run_options & options) {
    task asked{read_document(options.document), options.question};
    if (asked.question.empty() && options.document == k_default_document) {
        asked.question = k_default_question;
    }
    if (!asked.document.note.empty()) {
        tell("note: " + asked.document.note);
    }
    return asked;
}

// ERRORS failure: the prompt does not fit the context.
prompt_setup set_up_prompt(const run_options & options, const task & asked, const model & m, const invocation & call,
                           int64_t & n_answer) {
    prompt_setup prompt;
    const prompt_tokens tokens =
        m.tokenise_prompt(asked.document.text + (asked.question.empty() ? "" : "\n\n" + asked.question), options.raw);
    if (!tokens.templated && !options.raw) {
        tell("note: " + tokens.note);
    }
    prompt.ids = tokens.ids;
    const auto n_prompt = static_cast<int64_t>(prompt.ids.size());
    tell(fmt::format("{} {}; {} tokens in all",
                     options.document == k_default_document ? "no -f names another document, so reading" : "reading",
                     asked.describe(), n_prompt));
    const int64_t trained = m.facts().n_ctx_train;
    const int64_t limit = options.model.n_ctx > 0 ? options.model.n_ctx : trained;
    if (n_prompt + 1 > limit) {
        const std::string remedy =
            limit < trained
                ? fmt::format("Give a larger context with -c (the model was trained for {}), or a shorter document.",
                              trained)
                : std::string("Give a shorter document, or a model with a longer context.");
        throw failure(fmt::format("the prompt has {} tokens, the context {}: {} too many. {}", n_prompt, limit,
                                  n_prompt + 1 - limit, remedy));
    }
    if (limit > trained && n_prompt + n_answer > trained) {
        tell(fmt::format("note: {} tokens are more than the {} that the model was trained for; expect nonsense",
                         n_prompt + n_answer, trained));
    }
    if (n_prompt + n_answer > limit) {
        n_answer = limit - n_prompt;
        tell(fmt::format("note: the context of {} tokens leaves room for an answer of {}", limit, n_answer));
    }
    // Only what is needed: a model's full context may be far more memory than this prompt takes.
    const int64_t needed = n_prompt + std::max(n_answer, options.compare.n_compared) + 1;
    prompt.context.n_ctx = options.model.n_ctx > 0 ? static_cast<int32_t>(limit) : context_for(needed);
    prompt.context.n_ubatch = options.model.n_ubatch;
    prompt.context.n_threads = options.model.threads;
    prompt.context.stop = &call.stop;
    return prompt;
}

nlohmann::ordered_json run_json(const task & asked, const model & m, const prompt_setup & prompt,
                                const chosen_plan & chosen, const invocation & call) {
    const model_facts & f = m.facts();
    nlohmann::ordered_json j;
    j["command"] = call.command_line;
    j["version"] = program_version();
    j["commit"] = source_commit();
    j["model"] = {{"file", f.path}, {"name", f.name}, {"type", f.file_type}, {"n_layer", f.n_layer}};
    j["document"] = asked.document.path;
    j["document_bytes"] = asked.document.text.size();
    j["question"] = asked.question;
    j["n_prompt_tokens"] = prompt.ids.size();
    j["n_threads"] = prompt.context.n_threads > 0 ? prompt.context.n_threads : hardware_threads();
    j["plan"] = {{"source", chosen.source},
                 {"name", chosen.sparse ? nlohmann::ordered_json(chosen.value.name) : nlohmann::ordered_json()},
                 {"tail", name_of(chosen.value.tail)},
                 {"precision", name_of(chosen.value.arithmetic)}};
    return j;
}

void print_json(const nlohmann::ordered_json & j) {
    fmt::print("{}\n", j.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void print_summary(const task & asked, const model & m, const prompt_setup & prompt, const chosen_plan & chosen,
                   const arm_report & report) {
    const backend_statistics & s = *report.statistics;
    const auto line = [width = line_width(STDERR_FILENO)](const char * label, const std::string & text) {
        constexpr int k_indent = 10;
        fmt::print(stderr, "{:<{}}{}\n", label, k_indent, wrap(text, width, k_indent));
    };
    fmt::print(stderr, "\n");
    line("document", asked.describe());
    line("prompt", fmt::format("{} tokens of {} ({})", prompt.ids.size(), show_file(m.facts().path), report.setting));
    line("TTFT", fmt::format("{} = {:.0f} tok/s", show_seconds(report.ttft[0]),
                             static_cast<double>(prompt.ids.size()) / report.ttft[0]));
    if (!report.decode_rate.empty()) {
        line("decode", fmt::format("{:.1f} tok/s", report.decode_rate[0]));
    }
    line("layers",
         chosen.sparse ? chosen.layers() + " (" + chosen.source + ")" : "all dense, exact (" + chosen.source + ")");
    line("pairs", fmt::format("{} computed, {} skipped ({:.1f}% of what exact takes), over all heads and layers",
                              show_count(s.pairs_kept), show_count(s.pairs_skipped), 100 * s.kept_share()));
    line("attention", fmt::format("{} in kernel {}, {} nodes; computed exactly instead of by the plan: {}",
                                  show_seconds(s.seconds), s.kernel, s.n_planned + s.n_dense, s.fallback_text()));
    for (const rule_statistics & each : s.selections) {
        line("selected",
             fmt::format("by {}: {:.1f}% of the pairs of its rows and heads{}", each.rule, 100 * each.density,
                         each.seconds ? ", in " + show_seconds(*each.seconds) + " of the above" : ""));
    }
    line("products", s.n_products == 0 ? "all by llama.cpp"
                                       : fmt::format("{}, {} matrix products with weights of type {}",
                                                     show_seconds(s.product_seconds), s.n_products, s.product_ways));
}

int run_single(const run_options & options, const task & asked, backend & b, const model & m,
               const prompt_setup & prompt, const chosen_plan & chosen, int64_t n_answer, const invocation & call) {
    arm_report report;
    report.how = planned_arm(prompt, chosen);
    const std::unique_ptr<session> s = open_arm(b, m, report.how);
    timed_prefill prefilled;
    {
        prefill_progress progress("prefill", static_cast<int64_t>(prompt.ids.size()));
        prefilled = prefill_arm(b, report.how, *s, prompt.ids, [&](int64_t n) { progress.done(n); });
    }
    report.ttft.push_back(prefilled.seconds);
    report.statistics = parse_statistics(b.statistics(s->backend_context()));
    report.setting = fmt::format("ubatch {}, {} threads", s->options().n_ubatch, s->options().n_threads);
    word_stream words(line_width(STDOUT_FILENO));
    report.answer = decode_answer(m, *s, prefilled.first, n_answer, [&](token_id token) {
        if (!options.json) {
            fmt::print("{}", words.add(m.piece(token)));
            std::fflush(stdout);
        }
    });
    if (report.answer.n_decoded >= 2) {
        report.decode_rate.push_back(static_cast<double>(report.answer.n_decoded) / report.answer.seconds);
    }
    if (options.json) {
        nlohmann::ordered_json j = run_json(asked, m, prompt, chosen, call);
        j["arms"] = {report_json(m, prompt, report)};
        print_json(j);
        return 0;
    }
    fmt::print("{}\n", words.end());
    std::fflush(stdout);
    print_summary(asked, m, prompt, chosen, report);
    return 0;
}

int run_compare(const run_options & options, const task & asked, backend & b, model ours, const prompt_setup & prompt,
                const chosen_plan & chosen, int64_t n_answer, const invocation & call) {
    compare_options how = options.compare;
    how.n_answer = n_answer;
    arm_models models = models_of_arms(b, std::move(ours), options.model, prompt.context.n_ctx, call.stop);
    const comparison compared = compare(b, models, prompt, chosen, how);
    const model & m = models.text();
    if (options.json) {
        nlohmann::ordered_json j = run_json(asked, m, prompt, chosen, call);
        j["stock_setting"] = options.compare.stock;
        if (compared.search) {
            j["stock_tried"] = compared.search->json();
        }
        j["arms"] = nlohmann::ordered_json::array();
        for (const arm_report & report : compared.reports) {
            j["arms"].push_back(report_json(m, prompt, report));
        }
        print_json(j);
        return 0;
    }
    const int width = terminal_width(STDOUT_FILENO);
    const std::string heading =
        fmt::format("{}: {} tokens of {}; {} threads{}", show_file(m.facts().path), prompt.ids.size(), asked.describe(),
                    prompt.context.n_threads > 0 ? prompt.context.n_threads : hardware_threads(),
                    chosen.sparse ? "; plan " + chosen.source : "");
    fmt::print("\n{}\n\n{}", wrap(heading, width, 0), print_comparison(m, prompt, chosen, compared, width));
    return 0;
}

int run(const run_options & options, const invocation & call) {
    options.model.check_file();
    const task asked = read_task(options);
    backend b(default_backend_paths(), options.model.verbose);
    model m = load_model(options.model, call.stop);
    const chosen_plan chosen = choose_plan(options.plan, m.facts(), true);
    if (!chosen.note.empty()) {
        tell("note: " + chosen.note);
    }
    int64_t n_answer = options.compare.n_answer;
    const prompt_setup prompt = set_up_prompt(options, asked, m, call, n_answer);
    const auto n_prompt = static_cast<int64_t>(prompt.ids.size());
    if (const std::string note = nothing_skipped_note(chosen, n_prompt); !note.empty()) {
        tell("note: " + note);
    }
    if (const std::string note = length_note(chosen.value, n_prompt, "the prompt"); !note.empty()) {
        tell("note: " + note);
    }
    return options.do_compare ? run_compare(options, asked, b, std::move(m), prompt, chosen, n_answer, call)
                              : run_single(options, asked, b, m, prompt, chosen, n_answer, call);
}

}  // namespace

command add_run(CLI::App & app) {
    auto options = std::make_shared<run_options>();
    CLI::App * sub = app.add_subcommand("run", "Answer a question about a long document, and say what it cost");
    sub->footer(k_run_examples);
    add_model_options(*sub, options->model);
    shown(sub->add_option("-f,--file", options->document, "the document, plain text; - is stdin"), "FILE",
          options->document);
    shown(sub->add_option("-q,--question", options->question, "asked behind the document"), "TEXT",
          "none: the document is the prompt");
    shown(sub->add_option("-n,--predict", options->compare.n_answer, "most tokens of the answer")
              ->check(whole_number(1, 1 << 20)),
          "N", "128");
    sub->add_flag("--raw", options->raw, "no chat template: the prompt as it is");
    add_plan_options(*sub, options->plan);
    CLI::Option * comparing =
        sub->add_flag("--compare", options->do_compare, "stock llama.cpp, exact and the plan, side by side");
    add_stock_option(*sub, options->compare.stock)->needs(comparing);
    shown(sub->add_option("--repeat", options->compare.n_repeat,
                          "repetitions of each arm, interleaved; times are medians")
              ->check(whole_number(1, 1000))
              ->needs(comparing),
          "N", "3 to 1, by how long one takes");
    shown(sub->add_option("--kl-tokens", options->compare.n_compared,
                          "tokens of stock's answer that arms are compared over")
              ->check(whole_number(0, 4096))
              ->needs(comparing),
          "N", "64");
    sub->add_flag("--json", options->json, "one JSON object on stdout, nothing else there");
    return [options](const invocation & call) { return run(*options, call); };
}

}  // namespace tmx
