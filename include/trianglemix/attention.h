// trianglemix/attention.h -- sparse causal attention for prompt prefill, on the CPU. Start here.
//
// One call computes one attention node: every row of every stream, cut into segments that say which keys each row
// keeps. Dense, Triangle and any explicit mask go through the same tile loop (docs/kernel_cpu.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "trianglemix/block_lists.h"
#include "trianglemix/geometry.h"
#include "trianglemix/status.h"

namespace tmx {

// Element types of keys and values. q8_0 and q4_0 are ggml's block formats (32 values and an f16 scale a block).
enum class dtype : uint8_t { f32, f16, bf16, q8_0, q4_0 };

constexpr int64_t block_elems(dtype t) {
    return t == dtype::q8_0 || t == dtype::q4_0 ? 32 : 1;
}
constexpr int64_t block_bytes(dtype t) {
    switch (t) {
        case dtype::f32:
            return 4;
        case dtype::f16:
        case dtype::bf16:
            return 2;
        case dtype::q8_0:
            return 34;
        case dtype::q4_0:
            return 18;
    }
    return 0;
}

// exact: f32 products and sums. fast: products of bf16-rounded operands, summed in f32, where the CPU multiplies bf16
// natively; a kernel without it answers `unsupported`.
enum class precision : uint8_t { exact, fast };

// One stretch of query rows with one rule for the keys they keep. Two forms:
//   ranked  Rows are consecutive in one sequence. Row row_begin + r has rank rank_begin + r. The key of rank j lies at
//           index cells[j] of the key axis, or at key_begin + j when cells is null. `kept` says what a row keeps.
//   masked  `masked` is set and the args have a mask. Row r keeps what its mask row says: -inf drops the key, any other
//           value is added to the logit, times the head's ALiBi slope. Ranks, cells and kept are ignored.
struct attention_segment {
    int32_t batch = 0;  // stream, [0, n_batch)
    bool masked = false;
    int64_t row_begin = 0;  // rows [row_begin, row_end) of n_q
    int64_t row_end = 0;
    int64_t rank_begin = 0;           // rank of row row_begin, >= 0
    int64_t key_begin = 0;            // index on the key axis of rank 0, when cells is null
    const int32_t * cells = nullptr;  // [rank_begin + rows] rank -> index on the key axis, each in [0, n_kv); or null
    band kept;
};

// What a call with a skip factor did: tiles of rows times tiles of keys, as large as its kernel makes them.
struct skip_counts {
    int64_t visited = 0;
    int64_t skipped = 0;
};

// Non-owning. Strides in elements of the tensor's own dtype (for block types: multiples of 32); last axis contiguous.
struct attention_args {
    const float * q = nullptr;        // [n_batch, n_head,    n_q,  d_qk]
    const void * k = nullptr;         // [n_batch, n_head_kv, n_kv, d_qk]  k_type
    const void * v = nullptr;         // [n_batch, n_head_kv, n_kv, d_v ]  v_type
    float * out = nullptr;            // [n_batch, n_q, n_head, d_v]       heads inside rows, the order ggml expects
    float * lse = nullptr;            // [n_batch, n_head, n_q] contiguous, natural log; null if not wanted
    const uint16_t * mask = nullptr;  // [n_batch or 1, n_head or 1, n_q, n_kv] f16 bits; null if no segment is masked
    const float * sink_logit = nullptr;   // [n_head] learned logit that joins each row's softmax, -inf or null: none
    const float * alibi_slope = nullptr;  // [n_head] factor of the mask's values; null: 1
    // [n_head] non-zero: this head ignores `kept` and keeps all j <= i; null: none
    const uint8_t * dense_head = nullptr;
    dtype k_type = dtype::f16;
    dtype v_type = dtype::f16;
    int64_t n_batch = 1;
    int64_t n_head = 0;
    int64_t n_head_kv = 0;  // n_head % n_head_kv == 0; query head h reads key head h / (n_head / n_head_kv)
    int64_t n_q = 0;
    int64_t n_kv = 0;
    int64_t d_qk = 0;  // k_head_dims of kernel_features.h; so is d_v
    int64_t d_v = 0;
    int64_t q_stride_batch = 0, q_stride_head = 0, q_stride_row = 0;
    int64_t k_stride_batch = 0, k_stride_head = 0, k_stride_row = 0;
    int64_t v_stride_batch = 0, v_stride_head = 0, v_stride_row = 0;
    int64_t out_stride_batch = 0, out_stride_row = 0, out_stride_head = 0;
    int64_t mask_stride_batch = 0, mask_stride_head = 0, mask_stride_row = 0;  // 0 on a broadcast axis
    float scale = 0;                // multiplies q . k; finite. ggml's softcap division is the caller's
    float logit_softcap = 0;        // > 0: logits become softcap * tanh(logit / softcap), before the mask is added
    float skip_factor = 0;          // > 0: see SKIPS of attention_forward()
    skip_counts * skips = nullptr;  // added to if skip_factor > 0; null if not wanted
};

// Scratch of one caller, kept between calls. One call at a time per context; contexts are independent.
class cpu_context {
  public:
    cpu_context() noexcept;
    ~cpu_context();
    cpu_context(const cpu_context &) = delete;
    cpu_context & operator=(const cpu_context &) = delete;

    int32_t n_threads = 1;  // >= 1; OpenMP threads of a call
    precision arithmetic = precision::exact;
    const char * kernel = nullptr;  // force one of cpu_kernels() by name; null: the best this CPU runs

    struct scratch;
    std::unique_ptr<scratch> memory;  // private to the kernels
};

// Softmax attention of the rows in `segments`.
//
// KEEPS    See attention_segment. A dropped pair has weight exactly 0: its key and value are not read, unless they lie
//          in a tile that another row of the same tile keeps.
// SKIPS    With a skip_factor, in ranked segments: a tile of rows leaves out a tile of keys if each row's largest logit
//          there lies below the largest that the row has met so far by more than -ln(lambda), lambda = skip_factor / (1
//          + rank of the tile's last row). So every pair left out has a weight below lambda of its row's largest, and
//          is as one that was dropped: its value is not read, out and lse are those of the others. Which tiles these
//          are depends on the kernel, not on threads. The diagonal is visited first, then the first keys, then
//          backwards. Rows with no more keys than skip_factor leave out nothing.
// SHAPES   lists: empty, or one per segment; a null `begin` leaves that segment to its band. A masked segment has none.
// REQUIRES segments disjoint in (batch, row); their rows inside [0, n_q) and keys inside [0, n_kv); scale finite; out
//          and lse overlap nothing else. Rows in no segment are left as they are. A row that keeps nothing gets output
//          0 and lse -inf (or its sink_logit).
// NUMERICS docs/numerics.md. Same bits on every run and for every thread count of one kernel and one segment list; a
//          band with n_window > rank gives the bits of a dense segment, and so do lists of key heads that hold every
//          key. Lists per query head cut rows into other tiles, and may differ by rounding.
// COST     count_work() of geometry.h, summed over segments; of lists, the kept pairs alike. Scratch grows with the
//          tile, not with n_kv.
// ERRORS   invalid_argument, unsupported, out_of_memory: out and lse are unchanged.
// THREADS  Reentrant with distinct out and ctx.
status attention_forward(const attention_args & args, std::span<const attention_segment> segments, cpu_context & ctx,
                         std::span<const block_lists> lists = {}) noexcept;

// What attention_forward() requires of its arguments, for whoever works with them before it: ok, or invalid_argument.
// check_sizes() looks at sizes, strides, types and segments, and at no pointer but `cells`, and `mask` where a segment
// is masked. check_call() also looks whether q, k, v and out are there.
status check_sizes(const attention_args & args, std::span<const attention_segment> segments) noexcept;
status check_call(const attention_args & args, std::span<const attention_segment> segments) noexcept;

// The kernels compiled in that this CPU can run, best first: "avx512_bf16", "avx512", "avx2", "ssse3"; or
// "neon". Empty on an x86-64 CPU without SSSE3.
struct cpu_kernel_info {
    const char * name;
    bool fast;  // has a fast-precision form
    // That form is faster than the exact one on this CPU. Not on Intel's: AVX512-BF16 multiplies at half the rate of
    // f32 there (measured: attention takes 1.9 times as long).
    bool fast_pays;
};
std::vector<cpu_kernel_info> cpu_kernels();

}  // namespace tmx
