#include "kernels/cpu/scratch.h"

#include <algorithm>

namespace tmx {
namespace {

using cpu_base::carver;

cpu::thread_scratch carve(carver & pieces, const attention_args & args, int64_t n_rows) {
    using cpu::k_block_keys;
    // One register tile of rows at most is in flight; 8 covers every instruction set's.
    constexpr int64_t k_rows_in_flight = 8;
    cpu::thread_scratch s;
    s.q = pieces.take<float>(n_rows * args.d_qk);
    s.k = pieces.take<float>(k_block_keys * args.d_qk);
    s.v = pieces.take<float>(k_block_keys * args.d_v);
    s.logits = pieces.take<float>(k_rows_in_flight * k_block_keys);
    s.weights = pieces.take<uint32_t>(k_rows_in_flight * k_block_keys / 2);
    s.out = pieces.take<float>(n_rows * args.d_v);
    s.row_max = pieces.take<float>(n_rows);
    s.row_sum = pieces.take<float>(n_rows);
    s.convert = pieces.take<float>(4 * cpu::k_max_dim + 16);  // a transpose reads up to a vector past the last row
    s.cover = pieces.take<uint8_t>(n_rows);
    return s;
}

}  // namespace

void cpu_context::scratch::reserve(const attention_args & args, std::span<const cpu::work_item> items, int n_contexts) {
    int64_t n_rows = 0;
    for (const cpu::work_item & item : items) {
        n_rows = std::max(n_rows, item.place.packed_rows());
    }
    carver sizes(nullptr);
    carve(sizes, args, n_rows);
    const size_t bytes = sizes.used() * static_cast<size_t>(n_contexts);
    threads_.reserve(static_cast<size_t>(n_contexts));
    block_.reserve(bytes);
    threads_.clear();
    carver pieces(block_.get());
    for (int i = 0; i < n_contexts; ++i) {
        threads_.push_back(carve(pieces, args, n_rows));
    }
}

}  // namespace tmx
