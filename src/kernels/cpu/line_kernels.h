// Sums of weights along lines (line_sums.h), a slab of keys at a time: what the caller (line_sums.cpp) hands to the
// code that is compiled for every instruction set (line_sums-inl.h).
#pragma once

#include "kernels/cpu/kernel_args.h"

namespace tmx::cpu {

constexpr int64_t k_slab_keys = 4 * k_block_keys;

// Some rows, of all query heads of one key head, against some keys. Packed row m is row m % n_rows of head m / n_rows.
struct line_slab {
    const attention_args & args;
    const attention_segment & segment;
    int64_t key_head;
    index_range rows;  // of n_q
    index_range keys;  // ranks, at most k_slab_keys

    int64_t group() const { return args.n_head / args.n_head_kv; }
    int64_t packed_rows() const { return group() * rows.size(); }
    // Slashes that cross the slab; number t is that of distance last_distance() - t.
    int64_t n_slashes() const { return rows.size() - 1 + keys.size(); }
    int64_t last_distance() const { return segment.rank_begin + rows.end - 1 - segment.row_begin - keys.begin; }
};

struct line_scratch {
    float * k = nullptr;        // a packed tile of keys
    float * logits = nullptr;   // [rows in flight, k_block_keys]
    float * convert = nullptr;  // [4, k_max_dim] and a vector
};

struct line_kernel {
    const char * name;
    int64_t highway_target;  // as in `kernel`
    bool (*available)();
    // Of each packed row the largest exponent (base 2), and the sum of 2^(exponent - largest).
    void (*measure)(const line_slab & slab, const line_scratch & scratch, float * largest, float * sum);
    // Adds up 2^(exponent - shift[row]): vertical[head * vertical_stride + key], and slash[head * n_slashes + t], which
    // has room for a vector behind each head's. Both are 0 before.
    void (*add)(const line_slab & slab, const line_scratch & scratch, const float * shift, float * vertical,
                int64_t vertical_stride, float * slash, int64_t slash_stride);
};

cpu_base::kernel_list<line_kernel> all_line_kernels();
bool runs_here(const line_kernel & k);

}  // namespace tmx::cpu
