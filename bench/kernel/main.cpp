// tmx_bench_kernel -- see --help.
#include <CLI/CLI.hpp>

#include <string>
#include <vector>

#include "layer.h"
#include "quick.h"

int main(int argc, char ** argv) {
    using namespace tmx::bench;
    CLI::App app{"Times one attention layer of a real model's shape."};
    std::string model = "llama-3.1-8b";
    std::vector<std::string> models;
    for (const layer_shape & shape : known_shapes()) {
        models.push_back(shape.model);
    }
    quick_options quick;
    bool quick_mode = false;
    app.add_option("--model", model, "Shape of the layer")->check(CLI::IsMember(models))->capture_default_str();
    app.add_flag("--quick", quick_mode, "Only our kernels, one thread, CPU time: a loop for tuning");
    app.add_option("-n,--tokens", quick.n, "Tokens of the prompt")->check(CLI::PositiveNumber);
    app.add_option("-r,--repeats", quick.repeats, "Repeats")->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--kernel", quick.kernel, "Only this one of our kernels");
    CLI11_PARSE(app, argc, argv);
    quick.shape = *find_shape(model);
    return run_quick(quick);
}
