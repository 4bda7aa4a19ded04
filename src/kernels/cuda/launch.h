// What the host hands to a kernel. Shapes and strides in elements.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/work_item.h"
#include "trianglemix/attention.h"

namespace tmx::cuda {

// Results of one part of a split item: sums before the division, in the order of its packed rows.
struct partial_results {
    float * sums = nullptr;     // [slot, k_item_rows, width]
    float2 * scales = nullptr;  // [slot, k_item_rows] maximum of the logits in base 2, and sum of the weights
    int32_t width = 0;          // floats of a row of `sums`
};

struct kernel_params {
    const float * q = nullptr;           // [n_batch, n_head, n_q, d_qk]
    const void * k = nullptr;            // [kv_batch, n_head_kv, key, d_qk]
    const void * v = nullptr;            // [kv_batch, n_head_kv, key, d_v]
    float * out = nullptr;               // [n_batch, n_q, n_head, d_v]
    float * lse = nullptr;               // [n_batch, n_head, n_q]; null if not wanted
    const float * sink_logit = nullptr;  // [n_head]; null if none
    skip_counts * skips = nullptr;       // null if not wanted
    const work_item * items = nullptr;   // [n_items]
    const int32_t * first_ranks = nullptr;
    int32_t * next_item = nullptr;  // 0 before and after a launch
    partial_results partial;
    int64_t q_stride_batch = 0, q_stride_head = 0, q_stride_row = 0;
    int64_t k_stride_batch = 0, k_stride_head = 0, k_stride_row = 0;
    int64_t v_stride_batch = 0, v_stride_head = 0, v_stride_row = 0;
    int64_t out_stride_batch = 0, out_stride_row = 0, out_stride_head = 0;
    int32_t n_items = 0;
    int32_t n_head = 0;
    int32_t n_head_kv = 0;
    int32_t n_q = 0;
    int32_t n_kv = 0;  // keys of the axis that k and v point to
    int32_t n_kv_batch = 0;
    int32_t d_qk = 0;
    int32_t d_v = 0;
    float scale_log2 = 0;   // |scale| * log2(e), above 0; with a softcap, softcap * log2(e)
    float cap_scale = 0;    // capped: logits become tanh(logit * this) first
    float skip_factor = 0;  // attention_args'. This and capped: where options are compiled in
    float q_sign = 1;       // sign of the scale
    bool capped = false;
    bool q_by_16 = false;   // rows of q start at multiples of 16 bytes
    bool out_by_8 = false;  // rows of out at multiples of 8 bytes
};

// Weights are 2^(logit - maximum + this): f16 then keeps what is 2^-24 of the row's largest weight and less.
constexpr float k_weight_shift = 10.0f;

// Options that only some variants know.
inline bool has_options(const attention_args & args) {
    return args.logit_softcap > 0 || args.skip_factor > 0;
}

struct launch_target {
    int32_t n_sm = 0;
    cudaStream_t stream = nullptr;
};
using launch_fn = cudaError_t (*)(const kernel_params & params, const launch_target & target);

// One compiled kernel: head dimensions up to `dim`, tiles of `tile_keys` keys.
struct kernel_variant {
    int32_t dim;
    int32_t tile_keys;
    int32_t blocks_per_sm;  // at a time, where shared memory is large enough
    bool bf16;
    bool options;  // has_options() is compiled in
    launch_fn launch;
};

}  // namespace tmx::cuda
