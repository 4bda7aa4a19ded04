// tmx_bench_kernel -- see --help.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "layer.h"
#include "quick.h"
#include "race.h"
#include "row_facts.h"

#ifndef TMX_LLAMA_BIN
#define TMX_LLAMA_BIN ""
#endif

int main(int argc, char ** argv) {
    using namespace tmx::bench;
    CLI::App app{
        "Times one attention layer of a real model's shape: stock ggml's FLASH_ATTN_EXT and every form of ours, dense "
        "and\n"
        "Triangle (sink 8, window 512, last 128), interleaved in one process. GFLOP/s count kept pairs only; \"of "
        "ceiling\"\n"
        "is against a peak measured in the same process, \"speed-up\" against stock's median.\n"};
    app.footer(
        "Examples\n"
        "  tmx_bench_kernel                          Llama-3.1-8B's layer, 16384 tokens, 2 threads; stock once (~45 "
        "s)\n"
        "  tmx_bench_kernel -n 4096 --stock-n 3      shorter prompt, three runs of stock\n"
        "  tmx_bench_kernel --stock-ubatch 512       stock as a llama.cpp with -ub 512 would call it\n"
        "  tmx_bench_kernel --scaling                Triangle at 32768 tokens against 16384\n"
        "  tmx_bench_kernel --model smollm2-135m     another model's heads\n"
        "  tmx_bench_kernel --quick                  our kernels only, one thread, CPU time: a loop for tuning\n");
    std::string model = "llama-3.1-8b";
    std::vector<std::string> models;
    for (const layer_shape & shape : known_shapes()) {
        models.push_back(shape.model);
    }
    race_options race;
    race.ggml_folder = TMX_LLAMA_BIN;
    bool quick_mode = false;
    int64_t tokens = 0;
    app.add_option("--model", model, "Whose heads: n_head, n_head_kv, head dim")
        ->check(CLI::IsMember(models))
        ->capture_default_str();
    app.add_option("-n,--tokens", tokens, "Tokens of the prompt (default 16384; 2048 with --quick)")
        ->check(CLI::PositiveNumber);
    app.add_option("-t,--threads", race.n_threads, "Threads, stock's and ours")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("-r,--repeats", race.repeats, "Measured repeats of ours, after one to warm up")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--stock-n", race.stock_repeats, "Runs of stock, at most --repeats; 0: none, and no speed-up")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--stock-ubatch", race.stock_ubatch, "Rows of one call of stock, as -ub; 0: the whole prompt in one")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--llama-bin", race.ggml_folder, "Folder with the ggml libraries of stock")->capture_default_str();
    app.add_option("--kernel", race.kernel, "Only this one of our kernels (trianglemix info lists them)");
    app.add_option("--json", race.json_file, "Append one JSON line a measurement to this file");
    app.add_flag("--scaling", race.scaling, "Only Triangle, at the prompt's length and at twice that");
    app.add_flag("--quick", quick_mode, "Only our kernels, two groups of heads, one thread, CPU time");
    CLI11_PARSE(app, argc, argv);
    if (const std::string why = why_not_kept(race.json_file); !why.empty()) {
        fmt::print(stderr, "tmx_bench_kernel: {}\n", why);
        return 1;
    }
    race.command = CLI::detail::join(std::vector<std::string>(argv, argv + argc), " ");
    race.shape = *find_shape(model);
    if (quick_mode) {
        return run_quick({race.shape, tokens > 0 ? tokens : 2048, race.repeats, race.kernel});
    }
    race.n = tokens > 0 ? tokens : race.n;
    return run_race(race);
}
