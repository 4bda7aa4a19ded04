#include "contest.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <random>

#include "../kernel/timer.h"
#include "onednn_product.h"

namespace tmx::bench {
namespace {

constexpr rival_types k_types[] = {
    {"q8_0", GGML_TYPE_Q8_0, weight_type::q8_0}, {"q4_0", GGML_TYPE_Q4_0, weight_type::q4_0},
    {"q4_1", GGML_TYPE_Q4_1, weight_type::q4_1}, {"q5_0", GGML_TYPE_Q5_0, weight_type::q5_0},
    {"q5_1", GGML_TYPE_Q5_1, weight_type::q5_1}, {"q4_k", GGML_TYPE_Q4_K, weight_type::q4_k},
    {"q5_k", GGML_TYPE_Q5_K, weight_type::q5_k}, {"q6_k", GGML_TYPE_Q6_K, weight_type::q6_k},
    {"f16", GGML_TYPE_F16, weight_type::f16},    {"bf16", GGML_TYPE_BF16, weight_type::bf16},
    {"f32", GGML_TYPE_F32, weight_type::f32},
};

// What the order of sums explains.
constexpr double k_order_of_sums = 1e-5;

struct contender {
    finish result;
    std::function<bool()> run;
    std::span<const float> output;
    bool comparable = true;
};

std::vector<float> normal_values(int64_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> values(0.0f, 1.0f);
    std::vector<float> result(static_cast<size_t>(n));
    std::generate(result.begin(), result.end(), [&] { return values(random); });
    return result;
}

double largest_difference(std::span<const float> x, std::span<const float> reference) {
    double difference = 0;
    double largest = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        difference = std::max(difference, std::fabs(static_cast<double>(x[i]) - reference[i]));
        largest = std::max(largest, std::fabs(static_cast<double>(reference[i])));
    }
    return difference / largest;
}

class contest {
  public:
    contest(const rival_types & type, const product_shape & shape, const contest_options & options)
        : type_(type), shape_(shape), options_(options) {}

    bool enter_all() { return enter_stock() && enter_ours() && (!options_.onednn || enter_onednn()); }

    // The first round warms up and is not kept.
    bool rounds() {
        for (int round = 0; round <= options_.repeats; ++round) {
            for (contender & c : contenders_) {
                if (!run_once(c, round > 0)) {
                    return false;
                }
            }
        }
        return true;
    }

    std::vector<finish> finishes() {
        std::vector<finish> result;
        for (contender & c : contenders_) {
            if (c.comparable && !result.empty()) {
                c.result.difference = largest_difference(c.output, contenders_.front().output);
            }
            result.push_back(std::move(c.result));
        }
        return result;
    }

  private:
    bool enter_stock() {
        stock_ = stock_product::create(shape_, type_.stock, options_.n_threads);
        if (stock_ == nullptr) {
            fmt::print(stderr, "there is no ggml CPU backend, or not enough memory\n");
            return false;
        }
        const std::vector<float> weights = normal_values(shape_.depth * shape_.n_columns, 1);
        ggml_quantize_chunk(type_.stock, weights.data(), stock_->weights().data(), 0, shape_.n_columns, shape_.depth,
                            nullptr);
        std::ranges::copy(normal_values(shape_.depth * shape_.n_rows, 2), stock_->rows().begin());
        contender & c = enter("stock", std::string("ggml ") + ggml_version());
        c.run = [this] { return stock_->run(); };
        c.output = stock_->output();
        return true;
    }

    bool enter_ours() {
        const std::vector<product_kernel_info> kernels = product_kernels();
        context_.n_threads = options_.n_threads;
        context_.kernel = options_.kernel.empty() ? nullptr : options_.kernel.c_str();
        product_args args;
        args.weights = stock_->weights().data();
        args.rows = stock_->rows().data();
        args.n_rows = shape_.n_rows;
        args.n_columns = shape_.n_columns;
        args.depth = shape_.depth;
        args.weight_stride_bytes = static_cast<int64_t>(ggml_row_size(type_.stock, shape_.depth));
        args.row_stride = shape_.depth;
        args.out_stride = shape_.n_columns;
        args.type = type_.ours;
        for (const product_arithmetic arithmetic : options_.arithmetics) {
            const bool hosts = arithmetic == product_arithmetic::host;
            outs_.emplace_back(static_cast<size_t>(shape_.n_rows * shape_.n_columns));
            args.out = outs_.back().data();
            args.arithmetic = arithmetic;
            contender & c = enter(hosts ? "ours" : std::string("ours ") + name_of(arithmetic),
                                  options_.kernel.empty() ? kernels.front().name : options_.kernel);
            c.run = [this, args] {
                const status result = multiply_rows(args, context_);
                if (!result.ok()) {
                    fmt::print(stderr, "{}\n", result.message());
                }
                return result.ok();
            };
            c.output = outs_.back();
            c.result.allowed_difference = hosts ? k_order_of_sums : 0;
        }
        return true;
    }

    // With the weights that stock has, as f32.
    bool enter_onednn() {
        struct arithmetic_name {
            onednn_arithmetic arithmetic;
            const char * name;
        };
        f32_weights_.resize(static_cast<size_t>(shape_.depth * shape_.n_columns));
        const ggml_to_float_t to_float = ggml_get_type_traits(type_.stock)->to_float;
        if (to_float != nullptr) {
            to_float(stock_->weights().data(), f32_weights_.data(), shape_.depth * shape_.n_columns);
        } else {
            f32_weights_ = normal_values(shape_.depth * shape_.n_columns, 1);  // f32 itself
        }
        for (const arithmetic_name & a : {arithmetic_name{onednn_arithmetic::f32, "f32"},
                                          {onednn_arithmetic::bf16, "bf16"},
                                          {onednn_arithmetic::u8s8, "u8s8"}}) {
            libraries_.push_back(
                onednn_product::create(shape_, a.arithmetic, f32_weights_, stock_->rows(), options_.n_threads));
            onednn_product * library = libraries_.back().get();
            if (library == nullptr) {
                return false;
            }
            for (const bool turn_weights : {false, true}) {
                contender & c = enter(fmt::format("oneDNN {}{}", a.name, turn_weights ? ", weights turned" : ""),
                                      onednn_product::version());
                c.run = [library, turn_weights] { return library->run(turn_weights); };
                c.output = library->output();
                c.comparable = a.arithmetic != onednn_arithmetic::u8s8;
                c.result.creation_seconds = library->creation_seconds();
            }
        }
        return true;
    }

    contender & enter(std::string way, std::string version) {
        contender c;
        c.result.way = std::move(way);
        c.result.version = std::move(version);
        contenders_.push_back(std::move(c));
        return contenders_.back();
    }

    bool run_once(contender & c, bool keep) {
        const auto now = options_.n_threads == 1 ? &thread_seconds : &wall_seconds;
        neighbours others = c.result.others;
        others.begin();
        const double begin = now();
        const bool ok = c.run();
        const double seconds = now() - begin;
        others.end();
        if (keep) {
            c.result.seconds.push_back(seconds);
            c.result.others = others;
        }
        return ok;
    }

    const rival_types & type_;
    product_shape shape_;
    contest_options options_;
    std::unique_ptr<stock_product> stock_;
    std::vector<std::vector<float>> outs_;  // of each arithmetic of ours
    product_context context_;
    std::vector<float> f32_weights_;
    std::vector<std::unique_ptr<onednn_product>> libraries_;
    std::vector<contender> contenders_;
};

}  // namespace

std::span<const rival_types> known_types() {
    return k_types;
}

std::vector<finish> hold_contest(const rival_types & type, const product_shape & shape,
                                 const contest_options & options) {
    contest c(type, shape, options);
    return c.enter_all() && c.rounds() ? c.finishes() : std::vector<finish>{};
}

}  // namespace tmx::bench
