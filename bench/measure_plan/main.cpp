// tmx_measure_plan: what making layers triangle does to a model's answers, measured against its own dense computation.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <filesystem>

#include "measure.h"
#include "runtime/failure.h"

namespace {

std::atomic<bool> g_stop{false};

void on_interrupt(int) {
    g_stop.store(true, std::memory_order_relaxed);
}

const char * k_examples = R"(
Stages, in order; each appends JSON lines to --out and skips what is already there:
  ablate    each layer alone triangle, all others dense: which layers matter
  grow      the k least damaging layers of ablate, for growing k: how KL grows with the set
  check     the sets named by --sets on prompts that were not used to choose (other texts, other seed)
  baseline  yardsticks: stock llama.cpp against ours, a Q8_0 KV cache, and (--f16-model) Q8_0 against F16 weights

Examples:
  tmx_measure_plan --stage ablate --out smollm2.jsonl --lengths 4096,7500 --samples 4
  tmx_measure_plan --stage grow   --out smollm2.jsonl
  tmx_measure_plan --stage check  --out smollm2.jsonl --sets "12-29;0,4,9-29"
  tmx_measure_plan --stage baseline --out smollm2.jsonl --f16-model SmolLM2-135M-Instruct-F16.gguf
Several processes may share the work: give each its own --out and --shard 0/4 .. 3/4, then --from all of them in grow.
)";

}  // namespace

int main(int argc, char ** argv) {
    tmx::measure_options options;
    CLI::App app(
        "Measures per-layer damage of Triangle attention, grows layer sets by it, and checks them on unseen prompts.");
    app.footer(k_examples);
    app.add_option("-m,--model", options.model, "GGUF model")->capture_default_str();
    app.add_option("--stage", options.stage, "what to measure")
        ->required()
        ->check(CLI::IsMember({"ablate", "grow", "check", "baseline"}));
    app.add_option("--out", options.out, "JSON lines, appended to; also read to resume")->required();
    app.add_option("--from", options.from, "further files with ablate records for grow (shards)");
    app.add_option("--lengths", options.lengths, "prompt lengths in tokens")->delimiter(',')->capture_default_str();
    app.add_option("--samples", options.samples, "prompts per kind and length")->capture_default_str();
    app.add_option("--seed", options.seed, "of the prompts; check and baseline use seed + 1000")->capture_default_str();
    app.add_option("--tokens", options.n_following, "dense continuation tokens compared behind the first")
        ->capture_default_str();
    app.add_option("--order-by", options.order_by,
                   "what orders layers in grow: first-token KL, or the mean over all positions")
        ->check(CLI::IsMember({"first", "all"}))
        ->capture_default_str();
    app.add_option("--sizes", options.sizes, "set sizes of grow; default: 1..all")->delimiter(',');
    app.add_option("--sets", options.sets, "layer sets of check, separated by ';', e.g. '10-29;0,4,12-29'")
        ->delimiter(';');
    app.add_option("--precision", options.precision, "of our arms")
        ->check(CLI::IsMember({"exact", "fast"}))
        ->capture_default_str();
    app.add_option("-t,--threads", options.threads, "0: all that this process may use")->capture_default_str();
    app.add_option("--ubatch", options.n_ubatch, "prompt tokens of one evaluation")->capture_default_str();
    app.add_option("--sink", options.shape.n_sink)->capture_default_str();
    app.add_option("--window", options.shape.n_window)->capture_default_str();
    app.add_option("--last", options.shape.n_last)->capture_default_str();
    app.add_option("--shard", options.shard, "i/n: measure every n-th prompt, from the i-th on")->capture_default_str();
    app.add_option("--f16-model", options.f16_model, "baseline: F16 GGUF of the same model");
    app.add_option("--texts", options.text_folder, "folder of the texts that documents are made of")
        ->capture_default_str();
    app.add_option("--text-files", options.choose_files, "files there for ablate, grow")
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--check-files", options.check_files, "files there for check, baseline")
        ->delimiter(',')
        ->capture_default_str();
    app.add_flag("-v,--verbose", options.verbose, "show llama.cpp's own messages");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError & error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    for (int i = 0; i < argc; ++i) {
        options.command += (i > 0 ? " " : "") + std::string(argv[i]);
    }
    std::signal(SIGINT, on_interrupt);
    std::signal(SIGTERM, on_interrupt);
    options.stop = &g_stop;
    try {
        tmx::measure(options);
    } catch (const tmx::interrupted &) {
        fmt::print(stderr, "\ninterrupted; the same command goes on from here\n");
        return 130;
    } catch (const std::exception & error) {
        fmt::print(stderr, "\ntmx_measure_plan: {}\n", error.what());
        return 1;
    }
    return 0;
}
