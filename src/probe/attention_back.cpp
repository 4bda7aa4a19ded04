#include "probe/attention_back.h"

// As for the attention kernels: SVE's registers have no size at compile time, SSE4 adds code and no speed over SSSE3.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_AVX3_DL | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "probe/attention_back.cpp"
#include "hwy/foreach_target.h"

#include "probe/attention_back_item-inl.h"

#if HWY_ONCE

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>
#include <vector>

namespace tmx {

HWY_EXPORT(run_back_item);

namespace {

// Pieces of work that keep up to this many threads busy; a head is a piece where there are as many heads.
constexpr int64_t k_wanted_items = 16;
constexpr int64_t k_least_rows = 4 * k_back_tile;  // of a piece

// First row of part `part` of `n_parts`, on a tile's border. Pairs grow with the square of the row, so parts of equal
// work end at square roots.
int64_t part_begin(int64_t n, int64_t part, int64_t n_parts) {
    const double share = std::sqrt(static_cast<double>(part) / static_cast<double>(n_parts));
    const auto row = static_cast<int64_t>(share * static_cast<double>(n) / k_back_tile) * k_back_tile;
    return part == n_parts ? n : std::min(row, n);
}

}  // namespace

void attention_back(const probe_backward_args & args, int32_t n_threads) {
    const int64_t n = args.shape.n;
    const int64_t n_head = args.shape.n_head;
    const int64_t n_head_kv = args.shape.n_head_kv;
    const int64_t d = args.shape.d;
    const int64_t most_parts = std::max<int64_t>(n / k_least_rows, 1);
    const int64_t n_parts = std::min((k_wanted_items + n_head - 1) / n_head, most_parts);
    const int64_t n_items = n_head * n_parts;
    const auto item_elems = static_cast<size_t>(n * d);
    std::vector<back_item> items(static_cast<size_t>(n_items));
    std::vector<float> dk_items(static_cast<size_t>(n_items) * item_elems);
    std::vector<float> dv_items(static_cast<size_t>(n_items) * item_elems);
    for (int64_t i = 0; i < n_items; ++i) {
        back_item & item = items[static_cast<size_t>(i)];
        item.head = i / n_parts;
        // The last rows, the most work, come first.
        const int64_t part = n_parts - 1 - i % n_parts;
        item.row_begin = part_begin(n, part, n_parts);
        item.row_end = part_begin(n, part + 1, n_parts);
        item.dk = dk_items.data() + static_cast<size_t>(i) * item_elems;
        item.dv = dv_items.data() + static_cast<size_t>(i) * item_elems;
    }
    std::exception_ptr error;
    std::mutex error_mutex;
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_threads)
    for (int64_t i = 0; i < n_items; ++i) {
        try {
            HWY_DYNAMIC_DISPATCH(run_back_item)(args, items[static_cast<size_t>(i)]);
        } catch (...) {
            const std::lock_guard lock(error_mutex);
            error = std::current_exception();
        }
    }
    if (error) {
        std::rethrow_exception(error);
    }
    // Over the heads of a group and their parts, in that order, whoever computed them.
    const int64_t items_of_group = n_items / n_head_kv;
    const int64_t row = n_head_kv * d;
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t r = 0; r < n; ++r) {
        for (int64_t kv = 0; kv < n_head_kv; ++kv) {
            float * dk = args.dk + r * row + kv * d;
            float * dv = args.dv + r * row + kv * d;
            std::fill(dk, dk + d, 0.0F);
            std::fill(dv, dv + d, 0.0F);
            for (int64_t i = kv * items_of_group; i < (kv + 1) * items_of_group; ++i) {
                const float * dk_item = items[static_cast<size_t>(i)].dk + r * d;
                const float * dv_item = items[static_cast<size_t>(i)].dv + r * d;
                for (int64_t c = 0; c < d; ++c) {
                    dk[c] += dk_item[c];
                    dv[c] += dv_item[c];
                }
            }
        }
    }
    for (int64_t h = 0; h < n_head; ++h) {
        args.sums[h] = {};
    }
    for (const back_item & item : items) {
        for (size_t s = 0; s < k_sections.size(); ++s) {
            args.sums[item.head][s] += item.sums[s];
        }
    }
}

}  // namespace tmx

#endif  // HWY_ONCE
