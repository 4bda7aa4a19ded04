// Where the queries and keys of a segment lie, by their ranks.
#pragma once

#include <cstdint>

#include "trianglemix/attention.h"

namespace tmx::select_cpu {

struct layer_rows {
    const attention_args & args;
    const attention_segment & segment;

    index_range ranks() const { return {segment.rank_begin, segment.rank_begin + segment.row_end - segment.row_begin}; }
    int64_t group() const { return args.n_head / args.n_head_kv; }  // query heads of a key head

    // REQUIRES a rank of the segment's rows.
    const float * query(int64_t head, int64_t rank) const {
        const int64_t row = segment.row_begin + rank - segment.rank_begin;
        return args.q + segment.batch * args.q_stride_batch + head * args.q_stride_head + row * args.q_stride_row;
    }
    // Offset of a key's first element. REQUIRES a rank below that of the last row's end.
    int64_t key(int64_t key_head, int64_t rank) const {
        const int64_t index = segment.cells != nullptr ? segment.cells[rank] : segment.key_begin + rank;
        return segment.batch * args.k_stride_batch + key_head * args.k_stride_head + index * args.k_stride_row;
    }
};

}  // namespace tmx::select_cpu
