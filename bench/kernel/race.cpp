#include "race.h"

#include <fmt/core.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ceiling.h"
#include "report.h"
#include "timer.h"
#ifdef TMX_BENCH_STOCK
#include "stock.h"
#endif

namespace tmx::bench {
namespace {

struct contender {
    layer_mode mode;
    precision arithmetic;
    layer_data * data;
    cpu_context * ctx;
    measurement result;
};

// Name of the kernel a context will run: the forced one, or the first that has the precision. Empty: none.
std::string kernel_for(const std::string & forced, precision arithmetic) {
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        if ((forced.empty() || forced == kernel.name) && (arithmetic == precision::exact || kernel.fast)) {
            return kernel.name;
        }
    }
    return {};
}

#ifdef TMX_BENCH_STOCK
// Root of the squared difference over the squared size.
double relative_difference(std::span<const float> x, std::span<const float> y) {
    double difference = 0;
    double size = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        const double d = static_cast<double>(x[i]) - y[i];
        difference += d * d;
        size += static_cast<double>(y[i]) * y[i];
    }
    return std::sqrt(difference / size);
}
#endif

bool run_once(contender & c, bool keep) {
    neighbours others = c.result.others;
    others.begin();
    const double begin = wall_seconds();
    const status result = c.data->run(c.mode, 0, c.data->n, *c.ctx);
    const double seconds = wall_seconds() - begin;
    others.end();
    if (!result.ok()) {
        fmt::print(stderr, "{}: {}\n", c.result.name, result.message());
        return false;
    }
    if (keep) {
        c.result.seconds.push_back(seconds);
        c.result.others = others;
    }
    return true;
}

class race {
  public:
    explicit race(const race_options & options) : options_(options) {
        ctx_[0].arithmetic = precision::exact;
        ctx_[1].arithmetic = precision::fast;
        for (cpu_context & ctx : ctx_) {
            ctx.n_threads = options.n_threads;
            ctx.kernel = options.kernel.empty() ? nullptr : options_.kernel.c_str();
        }
    }

    int run() {
        fmt::print(stderr, "{}: {}/{} heads of {}, {} tokens, F16 keys and values, {} threads\n", options_.shape.model,
                   options_.shape.n_head, options_.shape.n_head_kv, options_.shape.dim, options_.n, options_.n_threads);
        fmt::print(stderr, "making data...\n");
        data_.push_back(std::make_unique<layer_data>(options_.shape, options_.n));
        if (options_.scaling) {
            data_.push_back(std::make_unique<layer_data>(options_.shape, 2 * options_.n));
        }
        for (const std::unique_ptr<layer_data> & data : data_) {
            if (!options_.scaling) {
                enter(layer_mode::dense, *data);
            }
            enter(layer_mode::triangle, *data);
        }
        if (contenders_.empty()) {
            fmt::print(stderr, "no kernel named {} runs on this CPU\n", options_.kernel);
            return 1;
        }
        if (!options_.scaling && options_.stock_repeats > 0 && !open_stock()) {
            return 1;
        }
        fmt::print(stderr, "measuring the ceilings...\n");
        ceilings_ = measure_ceilings(options_.n_threads);
        if (!rounds()) {
            return 1;
        }
        keep_better(ceilings_, measure_ceilings(options_.n_threads));
        finish();
        return report() ? 0 : 1;
    }

  private:
    void enter(layer_mode mode, layer_data & data) {
        for (cpu_context & ctx : ctx_) {
            contender c{mode, ctx.arithmetic, &data, &ctx, {}};
            c.result.kernel = kernel_for(options_.kernel, ctx.arithmetic);
            if (c.result.kernel.empty()) {
                continue;
            }
            c.result.name = fmt::format("{} {}", name_of(mode), name_of(ctx.arithmetic));
            if (options_.scaling) {
                c.result.name += fmt::format(" {}", data.n);
            }
            c.result.tokens = data.n;
            c.result.gflop = data.flops(mode, 0, data.n) * 1e-9;
            c.result.ceiling = ctx.arithmetic == precision::exact ? "f32_fma" : "bf16_dot";
            contenders_.push_back(std::move(c));
        }
    }

    bool open_stock() {
#ifdef TMX_BENCH_STOCK
        std::string error;
        stock_ = stock_layer::create(options_.ggml_folder, *data_[0], options_.stock_ubatch, options_.n_threads, error);
        if (stock_ == nullptr) {
            fmt::print(stderr, "stock: {}\n", error);
            return false;
        }
        stock_result_.name =
            options_.stock_ubatch > 0 ? fmt::format("stock, ubatch {}", options_.stock_ubatch) : "stock";
        stock_result_.kernel = stock_layer::version();
        stock_result_.ceiling = "f32_fma";
        stock_result_.tokens = options_.n;
        stock_result_.gflop = data_[0]->flops(layer_mode::dense, 0, options_.n) * 1e-9;
        return true;
#else
        fmt::print(stderr, "this build has no llama.cpp (TMX_LLAMA=OFF): pass --stock-n 0\n");
        return false;
#endif
    }

    bool run_stock() {
#ifdef TMX_BENCH_STOCK
        fmt::print(stderr, "  stock ggml...");
        std::fflush(stderr);
        stock_result_.others.begin();
        const double seconds = stock_->run();
        stock_result_.others.end();
        if (seconds < 0) {
            fmt::print(stderr, " failed\n");
            return false;
        }
        fmt::print(stderr, " {:.2f} s\n", seconds);
        stock_result_.seconds.push_back(seconds);
#endif
        return true;
    }

    // Round -1 warms up (memory is touched, clocks rise) and is not kept; ours are short, so only they have one.
    bool rounds() {
        for (int round = -1; round < options_.repeats; ++round) {
            const std::string title =
                round < 0 ? "warm-up" : fmt::format("round {} of {}", round + 1, options_.repeats);
            fmt::print(stderr, "{}\n", title);
            for (contender & c : contenders_) {
                if (!run_once(c, round >= 0)) {
                    return false;
                }
                if (round >= 0) {
                    fmt::print(stderr, "  {:<24}{:.3f} s\n", c.result.name, c.result.seconds.back());
                }
            }
            if (has_stock() && round >= 0 && round < options_.stock_repeats && !run_stock()) {
                return false;
            }
        }
        return true;
    }

    bool has_stock() const {
        return !stock_result_.kernel.empty();
    }

    void finish() {
        for (contender & c : contenders_) {
            c.result.ceiling_gflops = gflops_of(ceilings_, c.result.ceiling.c_str());
            if (has_stock()) {
                c.result.baseline = stock_result_.name + " " + stock_result_.kernel;
                c.result.ratio = median(stock_result_.seconds) / median(c.result.seconds);
            }
        }
        stock_result_.ceiling_gflops = gflops_of(ceilings_, "f32_fma");
        for (contender & c : contenders_) {  // scaling: the same at n, which comes before the one at 2n
            for (const contender & half : contenders_) {
                if (c.data->n == 2 * half.data->n && c.arithmetic == half.arithmetic) {
                    c.result.baseline = half.result.name;
                    c.result.ratio = median(half.result.seconds) / median(c.result.seconds);
                }
            }
        }
    }

    bool report() {
        for (const ceiling & c : ceilings_) {
            fmt::print("ceiling {:<10}{:>9.1f} GFLOP/s ({} threads)\n", c.name, c.gflops, options_.n_threads);
        }
        std::vector<const measurement *> results;
        if (has_stock()) {
            results.push_back(&stock_result_);
        }
        for (const contender & c : contenders_) {
            results.push_back(&c.result);
        }
        print_header(stdout);
        bool too_busy = false;
        for (const measurement * m : results) {
            print_line(stdout, *m);
            too_busy = too_busy || m->others.share() > k_too_busy;
        }
        if (too_busy) {
            fmt::print(
                "NOT A QUIET MACHINE: other processes took more than {:.0f}% of it (column \"others\"). Figures and "
                "speed-ups of these lines mean little; run it again when it is idle.\n",
                100 * k_too_busy);
        }
        for (const contender & c : contenders_) {
            if (options_.scaling && c.result.ratio > 0) {
                fmt::print("{} takes {:.2f}x the time of {}\n", c.result.name, 1 / c.result.ratio, c.result.baseline);
            }
        }
        return agrees_with_stock() && write_json(results);
    }

    // A race between programs that compute different things would be worth nothing.
    bool agrees_with_stock() {
#ifdef TMX_BENCH_STOCK
        if (has_stock()) {
            if (!data_[0]->run(layer_mode::dense, 0, options_.n, ctx_[0]).ok()) {
                return false;
            }
            const double difference = relative_difference(data_[0]->out, stock_->output());
            fmt::print("dense exact against stock's output: relative difference {:.1e}\n", difference);
            // Stock rounds queries, and in some of its forms weights and sums, to F16.
            if (!(difference < 1e-3)) {
                fmt::print(stderr, "the two do not compute the same thing\n");
                return false;
            }
        }
#endif
        return true;
    }

    bool write_json(const std::vector<const measurement *> & results) const {
        if (options_.json_file.empty()) {
            return true;
        }
        std::FILE * file = std::fopen(options_.json_file.c_str(), "a");
        if (file == nullptr) {
            fmt::print(stderr, "cannot write {}\n", options_.json_file);
            return false;
        }
        for (const measurement * m : results) {
            const run_facts facts{options_.shape.model,
                                  static_cast<int>(options_.shape.n_head),
                                  static_cast<int>(options_.shape.n_head_kv),
                                  static_cast<int>(options_.shape.dim),
                                  options_.n_threads,
                                  options_.command};
            fmt::print(file, "{}\n", json_line(facts, *m));
        }
        return std::fclose(file) == 0;
    }

    race_options options_;
    cpu_context ctx_[2];
    std::vector<std::unique_ptr<layer_data>> data_;
    std::vector<contender> contenders_;
    std::vector<ceiling> ceilings_;
    measurement stock_result_;
#ifdef TMX_BENCH_STOCK
    std::unique_ptr<stock_layer> stock_;
#endif
};

}  // namespace

int run_race(const race_options & options) {
    return race(options).run();
}

}  // namespace tmx::bench
