#include "measure.h"

#include <fmt/core.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "row_facts.h"
#include "timer.h"
#include "trianglemix/plan.h"

namespace tmx::bench {
namespace {

struct timed {
    std::vector<double> seconds;
    status result;
};

timed time_of(int repeats, const std::function<status()> & run) {
    timed t;
    for (int repeat = -1; repeat < repeats; ++repeat) {  // the first one warms up
        const double begin = wall_seconds();
        t.result = run();
        if (!t.result.ok()) {
            return t;
        }
        if (repeat >= 0) {
            t.seconds.push_back(wall_seconds() - begin);
        }
    }
    return t;
}

class contest {
  public:
    explicit contest(const select_options & options)
        : options_(options), layer_(options.shape, options.n), args_(layer_.args()) {
        segment_.row_begin = options.rows > 0 && options.rows < options.n ? options.n - options.rows : 0;
        segment_.row_end = options.n;
        segment_.rank_begin = segment_.row_begin;
        context_.n_threads = options.n_threads;
        context_.arithmetic = options.arithmetic;
        context_.kernel = options.kernel.empty() ? nullptr : options.kernel.c_str();
    }

    int run() {
        const timed dense = time_of(options_.repeats, [&] {
            return attention_forward(args_, {&segment_, 1}, context_);
        });
        if (!dense.result.ok()) {
            return failed("dense", dense.result);
        }
        dense_ = median(dense.seconds);
        fmt::print("{}: {}/{} heads of {}, {} tokens, rows {} to {}, {} threads, {}; dense {:.4f} s\n",
                   options_.shape.model, options_.shape.n_head, options_.shape.n_head_kv, options_.shape.dim,
                   options_.n, segment_.row_begin, segment_.row_end, options_.n_threads,
                   bench::name_of(options_.arithmetic), dense_);
        fmt::print("{:<24}{:>12}{:>12}{:>12}{:>10}{:>14}\n", "rule", "select s", "of dense", "with attn s", "density",
                   "attn / dense");
        for (const std::string & rule : options_.rules) {
            if (const int code = measure(rule); code != 0) {
                return code;
            }
        }
        return 0;
    }

  private:
    int measure(const std::string & text) {
        const parsed<dynamic_layers> read = parse_dynamic_layers(text + "@0", 1);
        if (!read.ok()) {
            fmt::print(stderr, "{}: {}\n", text, read.error);
            return 1;
        }
        const selection_rule & rule = read.value.rule;
        const selection_options how{{rotary_pairs::halves, options_.shape.dim}, options_.arithmetic, context_.kernel};
        const timed select = time_of(options_.repeats, [&] {
            block_bitmap bits({args_.n_head, {segment_.rank_begin, options_.n}});
            return select_blocks(rule, args_, segment_, options_.n_threads, bits, how);
        });
        if (!select.result.ok()) {
            return failed(text.c_str(), select.result);
        }
        constexpr uint8_t k_selected[] = {1};
        const selection_request request{rule, k_selected, selection_method_of(rule.method).per_query_head, how.rotary};
        attention_segment segment = segment_;
        segment.kept = k_no_band;
        int64_t kept = 0;
        const timed both = time_of(options_.repeats, [&] {
            kept = 0;
            return selected_attention_forward(request, args_, {&segment, 1}, context_, &kept);
        });
        if (!both.result.ok()) {
            return failed(text.c_str(), both.result);
        }
        const auto all = static_cast<double>(kept_pairs(band{}, {segment_.rank_begin, options_.n}) * args_.n_head);
        const double density = static_cast<double>(kept) / all;
        const double attention = median(both.seconds) - median(select.seconds);
        fmt::print("{:<24}{:>12.4f}{:>11.2f}%{:>12.4f}{:>9.1f}%{:>13.1f}%\n", text, median(select.seconds),
                   100 * median(select.seconds) / dense_, median(both.seconds), 100 * density,
                   100 * attention / dense_);
        std::fflush(stdout);
        if (!options_.json_file.empty()) {
            nlohmann::ordered_json row;
            row["case"] = text;
            row["model"] = options_.shape.model;
            row["tokens"] = options_.n;
            row["rows"] = segment_.row_end - segment_.row_begin;
            row["heads"] = options_.shape.n_head;
            row["heads_kv"] = options_.shape.n_head_kv;
            row["dim"] = options_.shape.dim;
            row["threads"] = options_.n_threads;
            row["precision"] = bench::name_of(options_.arithmetic);
            row["kernel"] = context_.kernel != nullptr ? context_.kernel : cpu_kernels().front().name;
            row["reps"] = options_.repeats;
            row["select_s"] = median(select.seconds);
            row["select_and_attention_s"] = median(both.seconds);
            row["dense_s"] = dense_;
            row["select_of_dense"] = median(select.seconds) / dense_;
            row["density"] = density;
            row["speed_up"] = dense_ / median(both.seconds);
            add_row_facts(row, options_.command);
            std::ofstream(options_.json_file, std::ios::app) << row.dump() << '\n';
        }
        return 0;
    }

    static int failed(const char * what, const status & result) {
        fmt::print(stderr, "{}: {}\n", what, result.message());
        return 1;
    }

    const select_options & options_;
    layer_data layer_;
    attention_args args_;
    attention_segment segment_;
    cpu_context context_;
    double dense_ = 0;
};

}  // namespace

int run_select(const select_options & options) {
    return contest(options).run();
}

}  // namespace tmx::bench
