// `trianglemix bench`: time to first token over prompt lengths and ways of computing, interleaved in one process.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <utility>

#include "cli/arms.h"
#include "cli/build_info.h"
#include "cli/commands/bench_rows.h"
#include "cli/commands/commands.h"
#include "cli/input_file.h"
#include "cli/machine.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/stock_setting.h"
#include "cli/terminal.h"
#include "measure/hash.h"
#include "runtime/failure.h"
#include "runtime/statistics.h"

namespace tmx {
namespace {

constexpr const char * k_examples = R"(
Modes: stock       llama.cpp alone, in its fastest setting (--stock); on a GPU on the device that --device stands in front of
       exact       our kernels, dense                 exact-fast  ... in bf16 products
       plan        our kernels with the plan          plan-fast   ... in bf16 products
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

struct bench_options {
    model_options model;
    plan_options plan;
    std::vector<int64_t> lengths = {1024, 2048, 4096, 7500};
    std::vector<std::string> modes = {"stock", "exact", "plan"};
    std::string stock = "best";
    int64_t n_repeat = 3;
    int64_t n_decode = 0;
    std::string document = "/usr/share/common-licenses/GPL-3";
    std::string out;
    std::string plot;
    bool restart = false;
    bool json = false;
};

int32_t threads_of(const bench_options & options) {
    return options.model.threads > 0 ? options.model.threads : hardware_threads();
}

std::vector<token_id> prompt_of_length(const model & m, const std::vector<token_id> & document, int64_t n_tokens) {
    // The model's BOS, if it wants one, then the document over and over.
    std::vector<token_id> ids = m.tokenise_prompt("", true).ids;
    for (size_t i = 0; static_cast<int64_t>(ids.size()) < n_tokens; ++i) {
        ids.push_back(document[i % document.size()]);
    }
    ids.resize(static_cast<size_t>(n_tokens));
    return ids;
}

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
        if (mode.starts_with("plan") && !chosen.triangle) {
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

int32_t context_for(int64_t length, const bench_options & options) {
    return static_cast<int32_t>((length + options.n_decode + 1 + 255) / 256 * 256);
}

arm arm_of_mode(const std::string & mode, const prompt_setup & prompt, chosen_plan chosen,
                const stock_setting & stock) {
    arm a;
    if (mode == "stock") {
        a = stock_arm(prompt, stock);
    } else if (mode.starts_with("exact")) {
        a = exact_arm(prompt);
        a.precision = mode == "exact" ? "exact" : "fast";
    } else {
        // The mode's name decides the precision, whatever the plan says.
        chosen.value.arithmetic = mode == "plan" ? precision::exact : precision::fast;
        a = planned_arm(prompt, chosen);
    }
    a.name = mode;
    return a;
}

// All that can change a time: rows that agree in it need not be measured again.
bench_row identity_of(const bench_options & options, const chosen_plan & chosen, const std::string & document) {
    const bool planned = std::any_of(options.modes.begin(), options.modes.end(),
                                     [](const std::string & mode) { return mode.starts_with("plan"); });
    bench_row j;
    // A commit does not tell builds of changed sources apart; the files do.
    j["build_sha256"] =
        sha256_of_text(sha256_of_file("/proc/self/exe") + sha256_of_file(default_backend_paths().library));
    j["commit"] = source_commit();
    j["ggml"] = ggml_version_text();
    j["cpu"] = cpu_name();
    j["n_cores"] = hardware_threads();
    j["n_threads"] = threads_of(options);
    j["device"] = describe_device(options.model.device);
    j["model_sha256"] = sha256_of_file(options.model.file());
    j["document_sha256"] = sha256_of_text(document);
    j["plan_sha256"] = planned ? bench_row(sha256_of_text(write_plan(chosen.value))) : bench_row();
    j["ubatch"] = options.model.n_ubatch;
    j["stock"] = options.stock;
    j["n_decode"] = options.n_decode;
    return j;
}

class sweep {
  public:
    sweep(const bench_options & options, backend & b, arm_models & models, const chosen_plan & chosen,
          const invocation & call)
        : options_(options), backend_(b), models_(models), chosen_(chosen), call_(call) {
        const text_document read = read_document(options.document);
        if (!read.note.empty()) {
            tell("note: " + read.note);
        }
        document_ = models.text().tokenise(read.text);
        if (!options.out.empty()) {
            identity_ = identity_of(options, chosen, read.text);
        }
    }

    // ERRORS failure, interrupted: what was measured till then is in rows().
    void run() {
        reuse_rows();
        for (const int64_t length : options_.lengths) {
            if (whole_.count(length) == 0) {
                measure(length);
            }
        }
    }

    // By length; of a length that was broken off, the modes that were timed at least once.
    std::vector<bench_row> rows() const {
        std::vector<bench_row> all;
        for (const auto & [length, rows] : whole_) {
            all.insert(all.end(), rows.begin(), rows.end());
        }
        const std::vector<bench_row> begun = rows_of_cells();
        all.insert(all.end(), begun.begin(), begun.end());
        return all;
    }

    size_t n_whole() const { return whole_.size(); }

  private:
    const bench_options & options_;
    backend & backend_;
    arm_models & models_;
    const chosen_plan & chosen_;
    const invocation & call_;
    std::vector<token_id> document_;
    bench_row identity_;
    std::map<int64_t, std::vector<bench_row>> whole_;  // of lengths that are done
    int64_t length_ = 0;                               // the one that is being measured
    std::vector<bench_cell> cells_;                    // ... one a mode

    void reuse_rows() {
        if (options_.out.empty() || options_.restart) {
            return;
        }
        const std::vector<bench_row> file = read_rows(options_.out);
        size_t n_rows = 0;
        for (const int64_t length : options_.lengths) {
            if (auto found = find_rows(file, identity_, length, options_.modes, options_.n_repeat)) {
                n_rows += found->size();
                whole_[length] = std::move(*found);
            }
        }
        if (n_rows > 0) {
            fmt::print(stderr,
                       "{} rows for {} of {} lengths are in {} already, from this build, model, settings and machine; "
                       "--restart measures them again\n",
                       n_rows, whole_.size(), options_.lengths.size(), options_.out);
        }
    }

    void measure(int64_t length) {
        prompt_setup prompt;
        prompt.ids = prompt_of_length(models_.text(), document_, length);
        prompt.context.n_ctx = context_for(length, options_);
        prompt.context.n_ubatch = options_.model.n_ubatch;
        prompt.context.n_threads = options_.model.threads;
        prompt.context.stop = &call_.stop;
        length_ = length;
        cells_.clear();
        stock_setting stock;
        bench_row tried;
        if (std::find(options_.modes.begin(), options_.modes.end(), "stock") != options_.modes.end()) {
            if (const auto given = parse_stock_setting(options_.stock)) {
                stock = *given;
            } else {
                const stock_search search = find_fastest_stock(backend_, models_, prompt);
                stock = search.winner();
                tried = search.json();
            }
        }
        for (int64_t repetition = 0; repetition < options_.n_repeat; ++repetition) {
            for (size_t i = 0; i < options_.modes.size(); ++i) {
                const arm a = arm_of_mode(options_.modes[i], prompt, chosen_, stock);
                if (repetition == 0) {
                    cells_.push_back({a.name,
                                      show_setting({a.context.flash_attention, a.context.n_ubatch}),
                                      models_.device_of(a),
                                      {},
                                      {},
                                      1,
                                      a.ours ? bench_row() : tried});
                }
                time_once(a, prompt, repetition, cells_[i]);
            }
        }
        whole_[length] = rows_of_cells();
        cells_.clear();
        if (!options_.out.empty()) {
            append_rows(options_.out, whole_[length]);
        }
    }

    void time_once(const arm & a, const prompt_setup & prompt, int64_t repetition, bench_cell & cell) {
        const std::unique_ptr<session> s = open_arm(backend_, models_.of(a), a);
        timed_prefill prefilled;
        {
            prefill_progress progress(
                fmt::format("{} tokens, {} {}/{}", length_, a.name, repetition + 1, options_.n_repeat), length_);
            prefilled = prefill_arm(backend_, a, *s, prompt.ids, [&](int64_t n) { progress.done(n); });
        }
        if (options_.n_decode > 0) {
            const double start = seconds_now();
            token_id next = prefilled.first;
            for (int64_t i = 0; i < options_.n_decode; ++i) {
                s->decode(next);
                next = argmax(s->last_logits());
            }
            cell.decode_rate.push_back(static_cast<double>(options_.n_decode) / (seconds_now() - start));
        }
        cell.ttft.push_back(prefilled.seconds);
        if (a.ours) {
            cell.kept_share = parse_statistics(backend_.statistics(s->backend_context())).kept_share();
        }
    }

    std::vector<bench_row> rows_of_cells() const {
        bench_row who;
        who["command"] = call_.command_line;
        who["version"] = program_version();
        who["commit"] = source_commit();
        who["ggml"] = ggml_version_text();
        who["cpu"] = cpu_name();
        who["n_cores"] = hardware_threads();
        who["n_threads"] = threads_of(options_);
        who["date"] = utc_time();
        who["model"] = show_file(models_.facts().path);
        who["plan"] = chosen_.source;
        who["identity"] = identity_;
        const bench_cell * stock = nullptr;
        for (const bench_cell & cell : cells_) {
            stock = cell.mode == "stock" ? &cell : stock;
        }
        std::vector<bench_row> rows;
        for (const bench_cell & cell : cells_) {
            if (!cell.ttft.empty()) {
                rows.push_back(make_row(who, length_, cell, stock));
            }
        }
        return rows;
    }
};

void show(const bench_options & options, const model_facts & facts, const chosen_plan & chosen,
          const std::vector<bench_row> & rows) {
    if (options.json) {
        fmt::print("{}\n", nlohmann::ordered_json{{"records", rows}}.dump(2));
    } else if (!rows.empty()) {
        const int width = terminal_width(STDOUT_FILENO);
        const std::string heading =
            fmt::format("{}, {}, {} threads{}", show_file(facts.path), cpu_name(), threads_of(options),
                        chosen.triangle ? "; plan: " + chosen.layers() : "");
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
        const std::string problem = draw_rows(options.plot, title, rows);
        fmt::print(stderr, "drew {}.svg{}\n", options.plot, problem.empty() ? " and .png" : "; " + problem);
    }
    return 0;
}

}  // namespace

command add_bench(CLI::App & app) {
    auto options = std::make_shared<bench_options>();
    CLI::App * sub = app.add_subcommand("bench", "Time to first token over prompt lengths, next to stock llama.cpp");
    sub->footer(k_examples);
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
