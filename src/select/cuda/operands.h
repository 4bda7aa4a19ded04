// Q and K of one segment as the kernels of methods read them: pointers moved to its first row and to its key of rank 0.
#pragma once

#include <cstdint>

#include "trianglemix/cuda_attention.h"

namespace tmx::cuda {

struct query_rows {
    const float * data;  // [head][row][d]
    int64_t stride_head, stride_row;
    bool by_16;  // rows start at multiples of 16 bytes
};

struct key_rows {
    const void * data;  // [head][rank][d] f16 or bf16; rows start at multiples of 16 bytes
    int64_t stride_head, stride_row;
};

inline query_rows queries_of(const attention_args & args, const cuda_selected_rows & rows) {
    const float * data = args.q + rows.batch * args.q_stride_batch + rows.row_begin * args.q_stride_row;
    return {data, args.q_stride_head, args.q_stride_row,
            reinterpret_cast<uintptr_t>(data) % 16 == 0 && args.q_stride_head % 4 == 0 && args.q_stride_row % 4 == 0};
}

inline key_rows keys_of(const attention_args & args, const cuda_selected_rows & rows) {
    const int64_t first = rows.key_batch * args.k_stride_batch + rows.key_begin * args.k_stride_row;
    return {static_cast<const uint16_t *>(args.k) + first, args.k_stride_head, args.k_stride_row};
}

}  // namespace tmx::cuda
