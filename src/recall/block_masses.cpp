#include "recall/block_masses.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "trianglemix/block_bitmap.h"

namespace tmx {
namespace {

float dot_in_eights(const float * a, const float * b, int64_t n) {
    float sums[8] = {};  // independent, so that they can be added side by side
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int64_t lane = 0; lane < 8; ++lane) {
            sums[lane] += a[i + lane] * b[i + lane];
        }
    }
    float sum = 0;
    for (; i < n; ++i) {
        sum += a[i] * b[i];
    }
    for (const float each : sums) {
        sum += each;
    }
    return sum;
}

// The weights that a tile's rows give to each block.
std::vector<double> masses_of(const attention_args & args, const float * lse, int64_t head, index_range rows) {
    const auto * keys = static_cast<const float *>(args.k) + head / (args.n_head / args.n_head_kv) * args.k_stride_head;
    std::vector<double> masses(static_cast<size_t>(blocks_of({0, rows.end}).end));
    for (int64_t row = rows.begin; row < rows.end; ++row) {
        const float * q = args.q + row * args.q_stride_row + head * args.q_stride_head;
        const float row_lse = lse[head * args.n_q + row];
        for (int64_t key = 0; key <= row; ++key) {
            const float logit = args.scale * dot_in_eights(q, keys + key * args.k_stride_row, args.d_qk);
            masses[static_cast<size_t>(key / k_bitmap_keys)] += std::exp(logit - row_lse);
        }
    }
    return masses;
}

// Adds what the tile keeps for each share.
void add_tile(const std::vector<double> & masses, index_range rows, const std::vector<double> & shares,
              std::vector<oracle_sum> & sums) {
    const index_range own = blocks_of(rows);
    std::vector<size_t> order(masses.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto mandatory = [&](size_t block) { return block == 0 || static_cast<int64_t>(block) >= own.begin; };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return mandatory(a) != mandatory(b) ? mandatory(a) : masses[a] > masses[b];
    });
    const double all = std::accumulate(masses.begin(), masses.end(), 0.0);
    double mass = 0;
    size_t n_blocks = 0;
    for (size_t i = 0; i < shares.size(); ++i) {
        while (n_blocks < order.size() && (mandatory(order[n_blocks]) || mass < shares[i] * all)) {
            mass += masses[order[n_blocks++]];
        }
        sums[i].mass += mass;
        sums[i].pairs += static_cast<double>(pairs_in_blocks(rows, static_cast<int64_t>(n_blocks)));
    }
}

}  // namespace

std::vector<oracle_sum> oracle_sums(const attention_args & args, const float * lse, const std::vector<double> & shares,
                                    int32_t n_threads) {
    const bitmap_shape shape{args.n_head, {0, args.n_q}};
    const int64_t n_items = args.n_head * shape.n_tiles();
    std::vector<std::vector<oracle_sum>> of_items(static_cast<size_t>(n_items), std::vector<oracle_sum>(shares.size()));
    // The last tiles, which have the most keys, first.
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_threads)
    for (int64_t item = 0; item < n_items; ++item) {
        const int64_t head = item % args.n_head;
        const index_range rows = shape.rows_of(shape.n_tiles() - 1 - item / args.n_head);
        add_tile(masses_of(args, lse, head, rows), rows, shares, of_items[static_cast<size_t>(item)]);
    }
    std::vector<oracle_sum> sums(shares.size());
    for (const std::vector<oracle_sum> & each : of_items) {
        for (size_t i = 0; i < shares.size(); ++i) {
            sums[i].pairs += each[i].pairs;
            sums[i].mass += each[i].mass;
        }
    }
    return sums;
}

}  // namespace tmx
