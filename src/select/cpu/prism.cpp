#include "select/prism.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "select/cpu/block_means.h"
#include "select/cpu/choose_blocks.h"
#include "select/cpu/thread_memory.h"
#include "select/methods.h"

namespace tmx {
namespace {

using namespace select_cpu;

struct prism_scratch {
    float * queries;  // [k_product_rows, d_qk] mean queries, but for the dimensions outside a band
    float * masses;   // [k_prism_bands, k_product_rows, padded columns] logits first
    float * best;     // [blocks] the larger mass of the bands
    int32_t * order;  // [blocks]
};

class prism_call {
  public:
    prism_call(const prism_values & values, const cpu_selection_call & call, const kernel & steps, block_bitmap & bits)
        : values_(values),
          rotary_(call.options.rotary),
          rows_{call.args, call.segment},
          steps_(steps),
          n_threads_(call.n_threads),
          bits_(bits),
          dim_(call.args.d_qk),
          n_tiles_(bits.shape.n_tiles()),
          keys_(steps, rows_, blocks_of({0, rows_.ranks().end}).end, values.reference, call.n_threads),
          queries_(static_cast<size_t>(call.args.n_head * n_tiles_ * dim_)),
          factors_(static_cast<size_t>(call.args.n_head * k_prism_bands)) {}

    void run() {
        const int64_t n_means = rows_.args.n_head * n_tiles_;
        const int64_t batches = (n_tiles_ + k_product_rows - 1) / k_product_rows;
        const int64_t n_items = rows_.args.n_head * batches;
        const int32_t n_workers = useful_threads(n_threads_, n_means);
        const thread_memory memory(n_workers, [&](cpu_base::carver & pieces) { return carve(pieces); });
#pragma omp parallel num_threads(n_workers) default(none) shared(n_means, batches, n_items, memory)
        {
#pragma omp for schedule(static)
            for (int64_t item = 0; item < n_means; ++item) {
                mean_query(item / n_tiles_, item % n_tiles_);
            }
#pragma omp for schedule(static)
            for (int64_t head = 0; head < rows_.args.n_head; ++head) {
                find_factors(head);
            }
#pragma omp for schedule(dynamic, 1)
            for (int64_t item = 0; item < n_items; ++item) {
                score_tiles(item / batches, item % batches * k_product_rows, memory.of_thread(omp_get_thread_num()));
            }
        }
    }

  private:
    prism_scratch carve(cpu_base::carver & pieces) const {
        prism_scratch s;
        s.queries = pieces.take<float>(k_product_rows * dim_);
        s.masses = pieces.take<float>(k_prism_bands * k_product_rows * padded_columns(keys_.n_blocks()));
        s.best = pieces.take<float>(keys_.n_blocks());
        s.order = pieces.take<int32_t>(keys_.n_blocks());
        return s;
    }

    float * mean_of(int64_t head, int64_t tile) {
        return queries_.data() + (head * n_tiles_ + tile) * dim_;
    }
    float & factor_of(int64_t head, int32_t band) {
        return factors_[static_cast<size_t>(head * k_prism_bands + band)];
    }

    void mean_query(int64_t head, int64_t tile) {
        float * mean = mean_of(head, tile);
        const index_range tile_rows = bits_.shape.rows_of(tile);
        for (int64_t rank = tile_rows.begin; rank < tile_rows.end; ++rank) {
            const float * query = rows_.query(head, rank);
            for (int64_t i = 0; i < dim_; ++i) {
                mean[i] += query[i];
            }
        }
        const float factor = 1.0f / static_cast<float>(values_.reference ? k_bitmap_rows : tile_rows.size());
        for (int64_t i = 0; i < dim_; ++i) {
            mean[i] *= factor;
        }
    }

    prism_squares squares(const float * means, int64_t n, int32_t band) const {
        prism_squares sums;
        for (int64_t i = 0; i < n; ++i) {
            for (int64_t dim = 0; dim < dim_; ++dim) {
                const double value = means[i * dim_ + dim];
                sums.all += value * value;
                sums.band += in_prism_band(rotary_, band, dim_, dim) ? value * value : 0;
            }
        }
        return sums;
    }

    void find_factors(int64_t head) {
        const auto root = [](double x) { return std::sqrt(x); };
        for (int32_t band = 0; band < k_prism_bands; ++band) {
            factor_of(head, band) = static_cast<float>(prism_factor(
                values_, static_cast<double>(rows_.args.scale), dim_, band, squares(mean_of(head, 0), n_tiles_, band),
                squares(keys_.means(head / rows_.group()), keys_.n_blocks(), band), root));
        }
    }

    void score_tiles(int64_t head, int64_t first, const prism_scratch & scratch) {
        const int64_t count = smaller(k_product_rows, n_tiles_ - first);
        const int64_t columns = padded_columns(keys_.n_blocks());
        const int64_t n_seen = blocks_of(bits_.shape.rows_of(first + count - 1)).end;
        for (int32_t band = 0; band < k_prism_bands; ++band) {
            for (int64_t i = 0; i < count * dim_; ++i) {
                const bool inside = in_prism_band(rotary_, band, dim_, i % dim_);
                scratch.queries[i] = inside ? mean_of(head, first)[i] : 0.0f;
            }
            float * logits = scratch.masses + band * k_product_rows * columns;
            steps_.row_products(scratch.queries, dim_, count, dim_, keys_.panels(head / rows_.group()), n_seen, logits);
            for (int64_t tile = first; tile < first + count; ++tile) {
                weigh(factor_of(head, band), blocks_of(bits_.shape.rows_of(tile)).end,
                      logits + (tile - first) * columns);
            }
        }
        for (int64_t tile = first; tile < first + count; ++tile) {
            choose(head, tile, scratch.masses + (tile - first) * columns, scratch);
        }
    }

    // Logits of n blocks become their softmax.
    static void weigh(float factor, int64_t n, float * row) {
        constexpr float k_log2e = 1.44269504088896340736f;
        float largest = -std::numeric_limits<float>::infinity();
        for (int64_t i = 0; i < n; ++i) {
            row[i] *= factor * k_log2e;
            largest = std::max(largest, row[i]);
        }
        float sum = 0;
        for (int64_t i = 0; i < n; ++i) {
            row[i] = std::exp2(row[i] - largest);
            sum += row[i];
        }
        for (int64_t i = 0; i < n; ++i) {
            row[i] /= sum;
        }
    }

    // `masses`: the tile's of the first band; those of the second lie k_product_rows rows further on.
    void choose(int64_t head, int64_t tile, float * masses, const prism_scratch & scratch) {
        const index_range tile_rows = bits_.shape.rows_of(tile);
        const auto n_blocks = static_cast<size_t>(blocks_of(tile_rows).end);
        float * second = masses + k_product_rows * padded_columns(keys_.n_blocks());
        scored_tile scored{tile_rows, {masses, n_blocks}, {scratch.order, n_blocks}, bits_.of(head, tile)};
        for (int64_t word = 0; word * k_word_bits < scored.n_visible(); ++word) {
            scored.words[word] = mandatory_bits(tile_rows, word);
        }
        if (values_.keep > 0) {
            // A mass that is no number must not get lost: only the sum is sure to be none either.
            for (size_t block = 0; block < n_blocks; ++block) {
                const bool both = std::isfinite(masses[block] + second[block]);
                scratch.best[block] = both ? std::max(masses[block], second[block]) : masses[block] + second[block];
            }
            scored.scores = {scratch.best, n_blocks};
            keep_share(scored, values_.keep);
            return;
        }
        keep_before_mass(scored, values_.p);
        scored.scores = {second, n_blocks};
        keep_before_mass(scored, values_.p);
    }

    const prism_values & values_;
    const rotary_layout rotary_;
    const layer_rows rows_;
    const kernel & steps_;
    const int32_t n_threads_;
    block_bitmap & bits_;
    const int64_t dim_;
    const int64_t n_tiles_;
    const block_means keys_;
    std::vector<float> queries_;  // [n_head, n_tiles, dim] means
    std::vector<float> factors_;  // [n_head, k_prism_bands] of products
};

}  // namespace

status select_prism(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits) {
    const prism_values values = prism_of(rule);
    const kernel * steps = nullptr;
    if (status s = choose_kernel(call.options.kernel, steps); !s.ok()) {
        return s;
    }
    prism_call(values, call, *steps, bits).run();
    return {};
}

}  // namespace tmx
