// `trianglemix bench`: time to first token over prompt lengths and ways of computing, interleaved in one process.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "cli/build_info.h"
#include "cli/commands.h"
#include "cli/compare.h"
#include "cli/machine.h"
#include "cli/options.h"
#include "cli/plot.h"
#include "cli/terminal.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr const char * k_examples = R"(
Modes: stock       llama.cpp alone, without flash attention (on a GPU: with it)
       stock-fa    llama.cpp alone, with flash attention
       exact       our kernels, dense                 exact-fast  ... in bf16 products
       plan        our kernels with the plan          plan-fast   ... in bf16 products
Every repetition runs all modes of a length one after the other, so that a machine that slows down slows all of them;
ratios are to the faster stock mode of the same run. The prompt is the document, repeated or cut to the length.

Examples:
  trianglemix bench
  trianglemix bench --lengths 1024,4096,7500 --modes stock,stock-fa,plan --repeat 5 --out results.jsonl --plot ttft
  trianglemix bench -m model.gguf --layers 16-31 --lengths 8192,16384,32768 --decode 64
  trianglemix bench -m model.gguf --device TriangleMix0 --layers 16-31 --ubatch 4096 --lengths 8192,32768,131072
)";

constexpr const char * k_modes[] = {"stock", "stock-fa", "exact", "exact-fast", "plan", "plan-fast"};

struct bench_options {
    model_options model;
    plan_options plan;
    std::vector<int64_t> lengths = {1024, 2048, 4096, 7500};
    std::vector<std::string> modes = {"stock", "stock-fa", "exact", "plan"};
    int64_t n_repeat = 3;
    int64_t n_decode = 0;
    std::string document = "/usr/share/common-licenses/GPL-3";
    std::string out;
    std::string plot;
    int32_t stock_ubatch = 0;  // 0: 512 on a CPU, our arms' on a GPU
    bool json = false;
};

struct cell {
    std::vector<double> ttft;         // seconds
    std::vector<double> decode_rate;  // tokens per second
    double kept_share = 1;            // of the pairs of our nodes
};

using results = std::map<std::pair<int64_t, std::string>, cell>;

bool is_stock(const std::string & mode) {
    return mode.starts_with("stock");
}

bool flash_attention_of(const std::string & mode, const bench_options & options) {
    return mode != "stock" || !options.model.device.empty();
}

// The faster of the stock modes that were measured; null if none was.
const cell * best_stock(const results & all, int64_t length) {
    const cell * best = nullptr;
    for (const char * mode : {"stock", "stock-fa"}) {
        const auto found = all.find({length, mode});
        if (found != all.end() && (best == nullptr || median(found->second.ttft) < median(best->ttft))) {
            best = &found->second;
        }
    }
    return best;
}

arm arm_of_mode(const std::string & mode, const bench_options & options, const prompt_setup & prompt,
                chosen_plan chosen) {
    arm a;
    if (is_stock(mode)) {
        a = stock_arm(prompt, flash_attention_of(mode, options), options.stock_ubatch);
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

std::vector<token_id> prompt_of_length(const model & m, const std::vector<token_id> & document, int64_t n_tokens) {
    // The model's BOS, if it wants one, then the document over and over.
    std::vector<token_id> ids = m.tokenise_prompt("", true).ids;
    for (size_t i = 0; static_cast<int64_t>(ids.size()) < n_tokens; ++i) {
        ids.push_back(document[i % document.size()]);
    }
    ids.resize(static_cast<size_t>(n_tokens));
    return ids;
}

void check_options(const bench_options & options, const model & m, const chosen_plan & chosen) {
    for (const std::string & mode : options.modes) {
        if (mode.starts_with("plan") && !chosen.triangle) {
            throw failure(fmt::format("mode {} needs a plan: {}. Give --plan or --layers, or leave it out of --modes.",
                                      mode, chosen.note.empty() ? "none was chosen" : chosen.note));
        }
    }
    const int64_t limit = options.model.n_ctx > 0 ? options.model.n_ctx : m.facts().n_ctx_train;
    const int64_t longest = *std::max_element(options.lengths.begin(), options.lengths.end()) + options.n_decode;
    if (longest > limit) {
        throw failure(fmt::format("a prompt of {} tokens does not fit the context of {}: shorten --lengths, or set -c",
                                  longest, limit));
    }
    // Found out before the measurement, not behind it.
    for (const std::string & path : {options.out, options.plot.empty() ? std::string() : options.plot + ".png"}) {
        const std::filesystem::path folder = std::filesystem::path(path).parent_path();
        if (!folder.empty() && !std::filesystem::is_directory(folder)) {
            throw failure("no folder " + folder.string() + " for " + path);
        }
    }
}

results measure(const bench_options & options, backend & b, const model & m, const chosen_plan & chosen,
                const invocation & call) {
    const std::vector<token_id> document = m.tokenise(read_file(options.document));
    if (document.empty()) {
        throw failure(options.document + " is empty");
    }
    results all;
    for (const int64_t length : options.lengths) {
        prompt_setup prompt;
        prompt.ids = prompt_of_length(m, document, length);
        prompt.context.n_ctx = static_cast<int32_t>((length + options.n_decode + 1 + 255) / 256 * 256);
        prompt.context.n_ubatch = options.model.n_ubatch;
        prompt.context.n_threads = options.model.threads;
        prompt.context.stop = &call.stop;
        for (int64_t repetition = 0; repetition < options.n_repeat; ++repetition) {
            for (const std::string & mode : options.modes) {
                const arm a = arm_of_mode(mode, options, prompt, chosen);
                const std::unique_ptr<session> s = open_arm(b, m, a);
                prefill_progress progress(
                    fmt::format("{} tokens, {} {}/{}", length, mode, repetition + 1, options.n_repeat), length);
                const timed_prefill prefilled = prefill_arm(b, a, *s, prompt.ids, [&](int64_t n) { progress.done(n); });
                cell & c = all[{length, mode}];
                c.ttft.push_back(prefilled.seconds);
                if (a.ours) {
                    c.kept_share = parse_statistics(b.statistics()).kept_share();
                }
                if (options.n_decode > 0) {
                    const double start = seconds_now();
                    token_id next = prefilled.first;
                    for (int64_t i = 0; i < options.n_decode; ++i) {
                        s->decode(next);
                        next = argmax(s->last_logits());
                    }
                    c.decode_rate.push_back(static_cast<double>(options.n_decode) / (seconds_now() - start));
                }
            }
        }
    }
    return all;
}

nlohmann::ordered_json record_of(const bench_options & options, const model & m, const chosen_plan & chosen,
                                 const results & all, int64_t length, const std::string & mode,
                                 const invocation & call) {
    const cell & c = all.at({length, mode});
    nlohmann::ordered_json j;
    j["command"] = call.command_line;
    j["version"] = program_version();
    j["commit"] = source_commit();
    j["ggml"] = ggml_version_text();
    j["cpu"] = cpu_name();
    j["device"] =
        options.model.device.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(options.model.device);
    j["n_cores"] = hardware_threads();
    j["n_threads"] = options.model.threads > 0 ? options.model.threads : hardware_threads();
    j["date"] = utc_time();
    j["model"] = show_file(m.facts().path);
    j["mode"] = mode;
    j["setting"] = fmt::format("fa {}, ub {}", flash_attention_of(mode, options) ? "on" : "off",
                               is_stock(mode) ? options.stock_ubatch : options.model.n_ubatch);
    j["plan"] = mode.starts_with("plan") ? nlohmann::ordered_json(chosen.source) : nlohmann::ordered_json();
    j["n_tokens"] = length;
    j["reps"] = c.ttft.size();
    j["ttft_s_median"] = median(c.ttft);
    j["ttft_s_p10"] = quantile(c.ttft, 0.1);
    j["ttft_s_p90"] = quantile(c.ttft, 0.9);
    j["tokens_per_s"] = static_cast<double>(length) / median(c.ttft);
    const cell * const stock = best_stock(all, length);
    j["speedup_over_stock"] =
        stock != nullptr ? nlohmann::ordered_json(median(stock->ttft) / median(c.ttft)) : nlohmann::ordered_json();
    j["pairs_kept_share"] = c.kept_share;
    j["decode_tokens_per_s"] =
        c.decode_rate.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(median(c.decode_rate));
    return j;
}

std::string table_of(const bench_options & options, const results & all, int width) {
    std::vector<std::string> header = {"tokens", "mode", "TTFT", "p10..p90", "tok/s", "vs stock", "pairs"};
    if (options.n_decode > 0) {
        header.push_back("decode tok/s");
    }
    text_table table(header);
    for (const int64_t length : options.lengths) {
        const cell * const stock = best_stock(all, length);
        for (const std::string & mode : options.modes) {
            const cell & c = all.at({length, mode});
            const double ttft = median(c.ttft);
            std::vector<std::string> row = {std::to_string(length),
                                            mode,
                                            fmt::format("{:.3f} s", ttft),
                                            fmt::format("{:.3f}..{:.3f}", quantile(c.ttft, 0.1), quantile(c.ttft, 0.9)),
                                            fmt::format("{:.0f}", static_cast<double>(length) / ttft),
                                            stock != nullptr ? fmt::format("{:.2f}x", median(stock->ttft) / ttft) : "-",
                                            fmt::format("{:.1f}%", 100 * c.kept_share)};
            if (options.n_decode > 0) {
                row.push_back(fmt::format("{:.1f}", median(c.decode_rate)));
            }
            table.add(row);
        }
    }
    return table.print(width);
}

// As a legend says it.
std::string name_of_mode(const std::string & mode) {
    return mode == "stock"       ? "stock llama.cpp"
           : mode == "stock-fa"  ? "stock llama.cpp, flash attention"
           : mode == "exact"     ? "exact, our kernels"
           : mode == "plan"      ? "TriangleMix"
           : mode == "plan-fast" ? "TriangleMix, bf16 products"
                                 : mode;
}

void draw(const bench_options & options, const model & m, const results & all) {
    std::vector<plot_line> lines;
    for (const std::string & mode : options.modes) {
        plot_line line{name_of_mode(mode), {}};
        for (const int64_t length : options.lengths) {
            line.points.emplace_back(static_cast<double>(length), median(all.at({length, mode}).ttft));
        }
        lines.push_back(std::move(line));
    }
    const std::string problem =
        draw_plot(options.plot,
                  {fmt::format("{}, {} threads, {}", show_file(m.facts().path),
                               options.model.threads > 0 ? options.model.threads : hardware_threads(), cpu_name()),
                   "prompt tokens", "time to first token, seconds (median)"},
                  lines);
    fmt::print(stderr, "drew {}.svg{}\n", options.plot, problem.empty() ? " and .png" : "; " + problem);
}

int bench(bench_options options, const invocation & call) {
    std::sort(options.lengths.begin(), options.lengths.end());
    const bool on_gpu = !options.model.device.empty();
    if (on_gpu) {
        std::erase(options.modes, "stock-fa");  // the same as stock there
    }
    if (options.stock_ubatch == 0) {
        options.stock_ubatch = on_gpu ? options.model.n_ubatch : 512;
    }
    backend b(default_backend_paths(), options.model.verbose);
    const model m = load_model(options.model, call.stop);
    const chosen_plan chosen = choose_plan(options.plan, m.facts(), true);
    check_options(options, m, chosen);
    const results all = measure(options, b, m, chosen, call);

    nlohmann::ordered_json records = nlohmann::ordered_json::array();
    for (const int64_t length : options.lengths) {
        for (const std::string & mode : options.modes) {
            records.push_back(record_of(options, m, chosen, all, length, mode, call));
        }
    }
    if (!options.out.empty()) {
        std::ofstream out(options.out, std::ios::app);
        for (const auto & record : records) {
            out << record.dump() << '\n';
        }
        if (!out.flush()) {
            throw failure("cannot write " + options.out);
        }
    }
    if (options.json) {
        fmt::print("{}\n", nlohmann::ordered_json{{"records", records}}.dump(2));
    } else {
        fmt::print("\n{}, {}, {} threads{}\n\n{}", show_file(m.facts().path), cpu_name(),
                   options.model.threads > 0 ? options.model.threads : hardware_threads(),
                   chosen.triangle ? "; plan: " + chosen.layers() : "",
                   table_of(options, all, terminal_width(STDOUT_FILENO)));
    }
    if (!options.plot.empty()) {
        draw(options, m, all);
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
              ->check(CLI::Range(int64_t{1}, int64_t{1} << 27)),
          "N,N,...", "1024,2048,4096,7500");
    shown(sub->add_option("--modes", options->modes, "ways of computing, see below")
              ->delimiter(',')
              ->check(CLI::IsMember(std::vector<std::string>(std::begin(k_modes), std::end(k_modes)))),
          "MODE,...", "stock,stock-fa,exact,plan");
    shown(sub->add_option("--repeat", options->n_repeat, "repetitions, interleaved; medians are shown")
              ->check(CLI::Range(int64_t{1}, int64_t{1000})),
          "N", "3");
    shown(sub->add_option("--decode", options->n_decode, "also decode that many tokens and show the rate")
              ->check(CLI::Range(int64_t{0}, int64_t{1} << 20)),
          "N", "0");
    shown(sub->add_option("-f,--file", options->document, "the document, plain text"), "FILE", options->document);
    shown(sub->add_option("--stock-ub", options->stock_ubatch, "stock's prompt tokens of one evaluation")
              ->check(CLI::Range(1, 1 << 20)),
          "N", "512; on a GPU the same as --ubatch");
    shown(sub->add_option("--out", options->out, "append a JSON line per mode and length"), "FILE", "");
    shown(sub->add_option("--plot", options->plot, "draw PREFIX.svg and PREFIX.png"), "PREFIX", "");
    sub->add_flag("--json", options->json, "one JSON object on stdout instead of the table");
    return [options](const invocation & call) { return bench(*options, call); };
}

}  // namespace tmx
