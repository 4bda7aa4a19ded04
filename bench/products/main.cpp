// tmx_bench_products -- see --help.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "../kernel/row_facts.h"
#include "contest.h"
#include "onednn_product.h"
#include "report.h"

namespace tmx::bench {
namespace {

struct bench_options {
    std::string folder = TMX_LLAMA_BIN;
    std::vector<std::string> types;
    std::vector<int64_t> rows = {2048};
    std::vector<std::string> shapes = {"576x1536"};
    contest_options contest;
    std::string json_file;
    std::string command;
};

// depth x columns, as text "576x1536"; CLI11's check of the options.
std::string shape_problem(const std::string & text) {
    product_shape shape;
    char rest = 0;
    const bool read = std::sscanf(text.c_str(), "%ldx%ld%c", &shape.depth, &shape.n_columns, &rest) == 2;
    return read && shape.depth > 0 && shape.n_columns > 0 ? "" : text + " is not DEPTHxCOLUMNS, as 576x1536";
}

product_shape shape_of(const std::string & text, int64_t n_rows) {
    product_shape shape;
    std::sscanf(text.c_str(), "%ldx%ld", &shape.depth, &shape.n_columns);
    shape.n_rows = n_rows;
    return shape;
}

bool compare(const rival_types & type, const product_shape & shape, const bench_options & options) {
    if (shape.depth % ggml_blck_size(type.stock) != 0) {
        fmt::print("{:5} has blocks of {}, which do not divide {}\n", type.name, ggml_blck_size(type.stock),
                   shape.depth);
        return true;
    }
    const std::vector<finish> finishes = hold_contest(type, shape, options.contest);
    for (const finish & f : finishes) {
        print_line(stdout, type, shape, f, finishes.front());
        if (!options.json_file.empty()) {
            std::ofstream(options.json_file, std::ios::app)
                << json_line(type, shape, options.contest, f, finishes.front(), options.command) << '\n';
        }
    }
    std::fflush(stdout);
    return !finishes.empty() && std::ranges::all_of(finishes, &finish::right);
}

}  // namespace
}  // namespace tmx::bench

int main(int argc, char ** argv) {
    using namespace tmx::bench;
    CLI::App app{
        "Times a matrix product of a prompt: stock ggml's MUL_MAT and ours, interleaved in one process, on the same "
        "data.\nFails if results in the host's arithmetic differ by more than the order of sums explains. With one "
        "thread, CPU time is "
        "taken."};
    app.footer(
        "Examples\n"
        "  tmx_bench_products                          all types, 2048 rows of 576 values, 1536 columns, 2 threads\n"
        "  tmx_bench_products --types q8_0 --rows 64,512,2048 --shapes 896x4864,4864x896\n"
        "  tmx_bench_products --types q8_0,f32 --onednn --json rows.jsonl     with a library beside them\n");
    bench_options options;
    std::vector<std::string> names;
    for (const rival_types & type : known_types()) {
        names.emplace_back(type.name);
    }
    app.add_option("--types", options.types, "Types of weights (default: all)")
        ->delimiter(',')
        ->check(CLI::IsMember(names));
    app.add_option("--rows", options.rows, "Rows of the prompt")->delimiter(',')->capture_default_str();
    app.add_option("--shapes", options.shapes, "Values of a row x columns of the result")
        ->delimiter(',')
        ->check(CLI::Validator(shape_problem, "DEPTHxCOLUMNS"))
        ->capture_default_str();
    app.add_option("-t,--threads", options.contest.n_threads, "Everybody's threads")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("-r,--repeats", options.contest.repeats, "Measured repeats, after one to warm up")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    const std::map<std::string, tmx::product_arithmetic> arithmetics{{"host", tmx::product_arithmetic::host},
                                                                     {"f32", tmx::product_arithmetic::f32},
                                                                     {"bf16", tmx::product_arithmetic::bf16},
                                                                     {"i16", tmx::product_arithmetic::i16}};
    app.add_option("--arithmetic", options.contest.arithmetics, "Ours, of host, f32, bf16 and i16 (default: host)")
        ->delimiter(',')
        ->transform(CLI::CheckedTransformer(arithmetics))
        ->option_text("NAMES");
    app.add_option("--kernel", options.contest.kernel, "Only this one of our kernels");
    app.add_option("--llama-bin", options.folder, "Folder with the ggml libraries of stock")->capture_default_str();
    app.add_option("--json", options.json_file, "Append one JSON line a way to this file");
    app.add_flag("--onednn", options.contest.onednn,
                 "Also oneDNN's matmul in f32, bf16 and u8s8: with weights turned into its layout once, and at every "
                 "call; rows at every call. Needs a build that found the library (Debian: libdnnl-dev)");
    CLI11_PARSE(app, argc, argv);
    if (options.contest.onednn && onednn_product::version().empty()) {
        fmt::print(stderr, "tmx_bench_products: this build found no oneDNN (Debian: libdnnl-dev)\n");
        return 1;
    }
    if (const std::string why = why_not_kept(options.json_file); !why.empty()) {
        fmt::print(stderr, "tmx_bench_products: {}\n", why);
        return 1;
    }
    options.command = CLI::detail::join(std::vector<std::string>(argv, argv + argc), " ");
    ggml_backend_load_all_from_path(options.folder.c_str());
    bool ok = true;
    for (const rival_types & type : known_types()) {
        if (!options.types.empty() && std::ranges::find(options.types, type.name) == options.types.end()) {
            continue;
        }
        for (const std::string & shape : options.shapes) {
            for (const int64_t rows : options.rows) {
                ok = compare(type, shape_of(shape, rows), options) && ok;
            }
        }
    }
    return ok ? 0 : 1;
}
