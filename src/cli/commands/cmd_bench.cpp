// `trianglemix bench`: time to first token over prompt lengths and ways of computing, interleaved in one process.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>
#include <stdexcept>
#include <utility>

#include "cli/arms.h"
#include "cli/commands/bench_rows.h"
#include "cli/commands/bench_sweep.h"
#include "cli/commands/commands.h"
#include "cli/machine.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/plot.h"
#include "cli/stock_setting.h"
#include "cli/terminal.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr const char * k_bench_examples = R"(
Modes: stock       llama.cpp alone, in its fastest setting (--stock); on a GPU on the device that --device stands in front of
       exact       our kernels, dense                 exact-fast  ... with --precision fast
       plan        our kernels with the plan          plan-fast   ... with --precision fast
At each length stock's settings are tried first, flash attention on and off with ubatches of 512, 2048 and --ubatch; one
that can no longer be the fastest is given up. Then every repetition runs all modes one after the other, so that a machine
that slows down slows all of them; ratios are to stock of the same run, beside them the least and greatest of one
repetition. The prompt is the document, repeated or cut to the length.

With --out the rows of a length are written when it is done, and the same command goes on behind them.

Examples:
  trianglemix bench
  trianglemix bench --lengths 1024,4096,7500 --modes stock,exact,plan,plan-fast --repeat 5 --out rows.jsonl --plot ttft
  trianglemix bench -m model.gguf --layers 16-31 --lengths 8192,16384,32768 --decode 64
  trianglemix bench -m model.gguf --device TriangleMix0 --layers 16-31 --ubatch 4096 --lengths 8192,32768,131072
)";

constexpr const char * k_modes[] = {"stock", "exact", "exact-fast", "plan", "plan-fast"};

// Before the model is loaded: nothing may be lost behind a measurement.
void check_outputs(const bench_options & options) {
    if (!options.out.empty()) {
        check_writable(options.out);
    }
    if (!options.plot.empty()) {
        check_writable(options.plot + ".png");
        check_writable(options.plot + ".svg");
    }
}

void check_options(const bench_options & options, const model_facts & facts, const chosen_plan & chosen) {
    for (const std::string & mode : options.modes) {
        if (mode.starts_with("plan") && !chosen.sparse) {
            throw failure(fmt::format("mode {} needs a plan: {}. Give --plan or --layers, or leave it out of --modes.",
                                      mode, chosen.note.empty() ? "none was chosen" : chosen.note));
        }
    }
    const int64_t limit = options.model.n_ctx > 0 ? options.model.n_ctx : facts.n_ctx_train;
    const int64_t longest = options.lengths.back() + options.n_decode;
    if (longest > limit) {
        throw failure(fmt::format("a prompt of {} tokens does not fit the context of {}: shorten --lengths, or set -c",
                                  longest, limit));
    }
}

void show(const bench_options & options, const model_facts & facts, const chosen_plan & chosen,
          const std::vector<bench_row> & rows) {
    if (options.json) {
        fmt::print("{}\n", nlohmann::ordered_json{{"records", rows}}.dump(2));
    } else if (!rows.empty()) {
        const int width = terminal_width(STDOUT_FILENO);
        const std::string heading = fmt::format("{}, {}, {} threads{}", show_file(facts.path), cpu_name(),
                                                threads_of(options), chosen.sparse ? "; plan: " + chosen.layers() : "");
        fmt::print("\n{}\n\n{}", wrap(heading, width, 0), table_of(rows, width));
    }
}

// Of a sweep that was broken off: what there is, and where it stays.
void show_rest(const bench_options & options, const model_facts & facts, const chosen_plan & chosen,
               const sweep & measured) {
    show(options, facts, chosen, measured.rows());
    std::fflush(stdout);
    if (!options.out.empty()) {
        fmt::print(stderr, "\n{} of {} lengths are whole, in {}; the same command goes on behind them\n",
                   measured.n_whole(), options.lengths.size(), options.out);
    }
}

// Each once, in the order of the first.
void drop_repeated(std::vector<std::string> & names) {
    std::set<std::string> seen;
    std::erase_if(names, [&](const std::string & name) { return !seen.insert(name).second; });
}

int bench(bench_options options, const invocation & call) {
    std::sort(options.lengths.begin(), options.lengths.end());
    options.lengths.erase(std::unique(options.lengths.begin(), options.lengths.end()), options.lengths.end());
    drop_repeated(options.modes);
    check_outputs(options);
    backend b(default_backend_paths(), options.model.verbose);
    model ours = load_model(options.model, call.stop);
    const chosen_plan chosen = choose_plan(options.plan, ours.facts(), true);
    check_options(options, ours.facts(), chosen);
    arm_models models =
        models_of_arms(b, std::move(ours), options.model, context_for(options.lengths.back(), options), call.stop);
    const model_facts & facts = models.facts();
    sweep measured(options, b, models, chosen, call);
    try {
        measured.run();
    } catch (const std::runtime_error &) {  // failure or interrupted
        show_rest(options, facts, chosen, measured);
        throw;
    }
    const std::vector<bench_row> rows = measured.rows();
    show(options, facts, chosen, rows);
    if (!options.plot.empty()) {
        const std::string title =
            fmt::format("{}, {} threads, {}", show_file(facts.path), threads_of(options), cpu_name());
        say_drawn(options.plot, draw_rows(options.plot, title, rows));
    }
    return 0;
}

}  // namespace

command add_bench(CLI::App & app) {
    auto options = std::make_shared<bench_options>();
    CLI::App * sub = app.add_subcommand("bench", "Time to first token over prompt lengths, next to stock llama.cpp");
    sub->footer(k_bench_examples);
    add_model_options(*sub, options->model);
    add_plan_options(*sub, options->plan);
    shown(sub->add_option("--lengths", options->lengths, "prompt lengths in tokens")
              ->delimiter(',')
              ->check(whole_number(1, 1 << 27)),
          "N,N,...", "1024,2048,4096,7500");
    shown(sub->add_option("--modes", options->modes, "ways of computing, see below")
              ->delimiter(',')
              ->check(CLI::IsMember(std::vector<std::string>(std::begin(k_modes), std::end(k_modes)))),
          "MODE,...", "stock,exact,plan");
    add_stock_option(*sub, options->stock);
    shown(sub->add_option("--repeat", options->n_repeat, "repetitions, interleaved; medians are shown")
              ->check(whole_number(1, 1000)),
          "N", "3");
    shown(sub->add_option("--decode", options->n_decode, "also decode that many tokens and show the rate")
              ->check(whole_number(0, 1 << 20)),
          "N", "0");
    shown(sub->add_option("-f,--file", options->document, "the document, plain text"), "FILE", options->document);
    shown(
        sub->add_option("--out", options->out, "append a JSON line per mode and length, and go on behind those there"),
        "FILE", "");
    sub->add_flag("--restart", options->restart, "measure again what the file of --out has already");
    shown(sub->add_option("--plot", options->plot, "draw PREFIX.svg and PREFIX.png"), "PREFIX", "");
    sub->add_flag("--json", options->json, "one JSON object on stdout instead of the table");
    return [options](const invocation & call) { return bench(*options, call); };
}

}  // namespace tmx
