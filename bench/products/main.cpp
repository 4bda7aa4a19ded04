// tmx_bench_products -- see --help.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "../kernel/timer.h"
#include "stock_product.h"
#include "trianglemix/products.h"

namespace tmx::bench {
namespace {

struct rival_types {
    const char * name;
    ggml_type stock;
    weight_type ours;
};

constexpr rival_types k_types[] = {
    {"q8_0", GGML_TYPE_Q8_0, weight_type::q8_0}, {"q4_0", GGML_TYPE_Q4_0, weight_type::q4_0},
    {"q4_1", GGML_TYPE_Q4_1, weight_type::q4_1}, {"q5_0", GGML_TYPE_Q5_0, weight_type::q5_0},
    {"q5_1", GGML_TYPE_Q5_1, weight_type::q5_1}, {"q4_k", GGML_TYPE_Q4_K, weight_type::q4_k},
    {"q5_k", GGML_TYPE_Q5_K, weight_type::q5_k}, {"q6_k", GGML_TYPE_Q6_K, weight_type::q6_k},
    {"f16", GGML_TYPE_F16, weight_type::f16},    {"bf16", GGML_TYPE_BF16, weight_type::bf16},
    {"f32", GGML_TYPE_F32, weight_type::f32},
};

struct bench_options {
    std::string folder = TMX_LLAMA_BIN;
    std::string kernel;
    std::vector<std::string> types;
    product_arithmetic arithmetic = product_arithmetic::host;
    std::vector<int64_t> rows = {2048};
    int64_t depth = 576;
    int64_t columns = 1536;
    int n_threads = 2;
    int repeats = 5;
};

std::vector<float> normal_values(int64_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> values(0.0f, 1.0f);
    std::vector<float> result(static_cast<size_t>(n));
    std::generate(result.begin(), result.end(), [&] { return values(random); });
    return result;
}

// Seconds of one call: the wall clock's, or with one thread the CPU's, which other processes do not add to.
template <class Call>
double time_of(int n_threads, const Call & call) {
    const auto now = n_threads == 1 ? &thread_seconds : &wall_seconds;
    const double begin = now();
    call();
    return now() - begin;
}

bool compare(const rival_types & type, int64_t n_rows, const bench_options & options) {
    const product_shape shape{options.depth, options.columns, n_rows};
    const auto stock = stock_product::create(shape, type.stock, options.n_threads);
    if (stock == nullptr) {
        fmt::print(stderr, "no ggml CPU backend in {}\n", options.folder);
        return false;
    }
    ggml_quantize_chunk(type.stock, normal_values(shape.depth * shape.n_columns, 1).data(), stock->weights().data(), 0,
                        shape.n_columns, shape.depth, nullptr);
    std::ranges::copy(normal_values(shape.depth * shape.n_rows, 2), stock->rows().begin());
    std::vector<float> out(static_cast<size_t>(shape.n_rows * shape.n_columns));
    product_context context;
    context.n_threads = options.n_threads;
    context.kernel = options.kernel.empty() ? nullptr : options.kernel.c_str();
    product_args args;
    args.weights = stock->weights().data();
    args.rows = stock->rows().data();
    args.out = out.data();
    args.n_rows = shape.n_rows;
    args.n_columns = shape.n_columns;
    args.depth = shape.depth;
    args.weight_stride_bytes = static_cast<int64_t>(ggml_row_size(type.stock, shape.depth));
    args.row_stride = shape.depth;
    args.out_stride = shape.n_columns;
    args.type = type.ours;
    args.arithmetic = options.arithmetic;
    bool ok = true;
    std::vector<double> stock_seconds;
    std::vector<double> our_seconds;
    for (int i = 0; i <= options.repeats; ++i) {
        const double stocks = time_of(options.n_threads, [&] { ok = ok && stock->run(); });
        const double ours = time_of(options.n_threads, [&] {
            const status result = multiply_rows(args, context);
            if (!result.ok()) {
                fmt::print(stderr, "{}\n", result.message());
                ok = false;
            }
        });
        if (i > 0) {  // the first warms up
            stock_seconds.push_back(stocks);
            our_seconds.push_back(ours);
        }
    }
    const double stocks = shape.flops() / median(stock_seconds) * 1e-9;
    fmt::print("{:5} {:5} x {:5} x {:5}  stock {:7.1f} GFLOP/s", type.name, n_rows, shape.depth, shape.n_columns,
               stocks);
    const double ours = shape.flops() / median(our_seconds) * 1e-9;
    double difference = 0;
    double largest = 0;
    for (size_t i = 0; i < out.size(); ++i) {
        difference = std::max(difference, std::fabs(static_cast<double>(out[i]) - stock->output()[i]));
        largest = std::max(largest, std::fabs(static_cast<double>(stock->output()[i])));
    }
    fmt::print("  ours {:7.1f} ({:.2f}x)  differs by {:.1e} of the largest\n", ours, ours / stocks,
               difference / largest);
    return ok && (options.arithmetic != product_arithmetic::host || difference <= 1e-5 * largest);
}

}  // namespace
}  // namespace tmx::bench

int main(int argc, char ** argv) {
    using namespace tmx::bench;
    CLI::App app{
        "Times a matrix product of a prompt: stock ggml's MUL_MAT and ours, interleaved in one process, on the same "
        "data.\nIn the host's arithmetic, fails if their results differ by more than the order of sums explains. With one thread, CPU time is "
        "taken."};
    bench_options options;
    std::vector<std::string> names;
    for (const rival_types & type : k_types) {
        names.emplace_back(type.name);
    }
    app.add_option("--types", options.types, "Types of weights (default: all)")
        ->delimiter(',')
        ->check(CLI::IsMember(names));
    const std::map<std::string, tmx::product_arithmetic> arithmetics{{"host", tmx::product_arithmetic::host},
                                                                     {"f32", tmx::product_arithmetic::f32},
                                                                     {"bf16", tmx::product_arithmetic::bf16}};
    app.add_option("--arithmetic", options.arithmetic, "Ours: host (default), f32 or bf16")
        ->transform(CLI::CheckedTransformer(arithmetics))
        ->option_text("NAME");
    app.add_option("--rows", options.rows, "Rows of the prompt")->delimiter(',')->capture_default_str();
    app.add_option("--depth", options.depth, "Values of a row")->capture_default_str();
    app.add_option("--columns", options.columns, "Columns of the result")->capture_default_str();
    app.add_option("-t,--threads", options.n_threads, "Threads, stock's and ours")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("-r,--repeats", options.repeats, "Measured repeats, after one to warm up")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--kernel", options.kernel, "Only this one of our kernels");
    app.add_option("--llama-bin", options.folder, "Folder with the ggml libraries of stock")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    ggml_backend_load_all_from_path(options.folder.c_str());
    bool ok = true;
    for (const rival_types & type : k_types) {
        if (!options.types.empty() &&
            std::find(options.types.begin(), options.types.end(), type.name) == options.types.end()) {
            continue;
        }
        if (options.depth % ggml_blck_size(type.stock) != 0) {
            fmt::print("{:5} has blocks of {}, which do not divide {}\n", type.name, ggml_blck_size(type.stock),
                       options.depth);
            continue;
        }
        for (const int64_t rows : options.rows) {
            ok = compare(type, rows, options) && ok;
        }
    }
    return ok ? 0 : 1;
}
