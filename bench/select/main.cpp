// tmx_bench_select -- see --help.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "layer.h"
#include "measure.h"
#include "row_facts.h"

int main(int argc, char ** argv) {
    using namespace tmx::bench;
    CLI::App app{
        "Times one attention layer of a real model's shape whose blocks are selected: the selection alone, selection "
        "and\n"
        "attention over what it keeps, and dense attention, in one process. The layer's numbers are random, so how "
        "much\n"
        "a threshold keeps says nothing; give `keep` for a density.\n"};
    app.footer(
        "Examples\n"
        "  tmx_bench_select                                    the usual rules, Llama-3.1-8B's layer, 16384 tokens\n"
        "  tmx_bench_select --rule xattention:16:0.9:0.2       a fifth of the blocks\n"
        "  tmx_bench_select --fast -t 1 --rows 2048            the last 2048 rows, as a ubatch\n");
    std::string model = "llama-3.1-8b";
    std::vector<std::string> models;
    for (const layer_shape & shape : known_shapes()) {
        models.push_back(shape.model);
    }
    select_options options;
    options.rules = {"means:0.1:0.2", "prism:0.95:0.2", "xattention:16:0.9:0.2", "xattention:8:0.9:0.2"};
    bool fast = false;
    app.add_option("--model", model, "Whose heads: n_head, n_head_kv, head dim")
        ->check(CLI::IsMember(models))
        ->capture_default_str();
    app.add_option("-n,--tokens", options.n, "Tokens of the prompt")->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--rows", options.rows, "Only the last so many rows, as one ubatch; 0: all")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("-t,--threads", options.n_threads, "Threads")->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("-r,--repeats", options.repeats, "Measured repeats, after one to warm up")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--rule", options.rules, "A method and its parameters as in TRIANGLEMIX_DYNAMIC, without layers")
        ->capture_default_str();
    app.add_option("--kernel", options.kernel, "Only this one of our kernels (trianglemix info lists them)");
    app.add_flag("--fast", fast, "In the fast precision");
    app.add_option("--json", options.json_file, "Append one JSON line a rule to this file");
    CLI11_PARSE(app, argc, argv);
    if (const std::string why = why_not_kept(options.json_file); !why.empty()) {
        fmt::print(stderr, "tmx_bench_select: {}\n", why);
        return 1;
    }
    options.command = CLI::detail::join(std::vector<std::string>(argv, argv + argc), " ");
    options.shape = *find_shape(model);
    options.arithmetic = fast ? tmx::precision::fast : tmx::precision::exact;
    return run_select(options);
}
