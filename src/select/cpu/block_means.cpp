#include "select/cpu/block_means.h"

#include "select/cpu/thread_memory.h"

namespace tmx::select_cpu {

block_means::block_means(const kernel & steps, const layer_rows & rows, int64_t n_blocks, bool as_if_whole,
                         int32_t n_threads)
    : n_blocks_(n_blocks), dim_(rows.args.d_qk) {
    const int64_t n_heads = rows.args.n_head_kv;
    const auto carve = [&](cpu_base::carver & pieces) {
        means_ = pieces.take<float>(n_heads * n_blocks_ * dim_);
        panels_ = pieces.take<float>(n_heads * padded_columns(n_blocks_) * dim_);
    };
    cpu_base::carver sizes(nullptr);
    carve(sizes);
    memory_.reserve(sizes.used());
    cpu_base::carver pieces(memory_.get());
    carve(pieces);

    const int64_t n_items = n_heads * n_blocks_;
    const int32_t n_workers = useful_threads(n_threads, n_items);
    const int64_t n_keys = rows.ranks().end;
#pragma omp parallel for num_threads(n_workers) schedule(static) default(none) \
    shared(steps, rows, n_items, n_keys, as_if_whole)
    for (int64_t item = 0; item < n_items; ++item) {
        alignas(64) float convert[k_convert_floats];
        const int64_t begin = item % n_blocks_ * k_bitmap_keys;
        const index_range ranks{begin, smaller(begin + k_bitmap_keys, n_keys)};
        const float factor = 1.0f / static_cast<float>(as_if_whole ? k_bitmap_keys : ranks.size());
        steps.mean_key(rows, item / n_blocks_, ranks, factor, convert, means_ + item * dim_);
    }
#pragma omp parallel for num_threads(n_workers) schedule(static) default(none) shared(steps, n_heads)
    for (int64_t head = 0; head < n_heads; ++head) {
        alignas(64) float convert[k_convert_floats];
        steps.pack_means(means(head), n_blocks_, dim_, convert, panels_ + head * padded_columns(n_blocks_) * dim_);
    }
}

}  // namespace tmx::select_cpu
