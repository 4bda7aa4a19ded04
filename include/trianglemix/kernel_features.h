// trianglemix/kernel_features.h -- what each implementation of attention computes, a row each, and whether that covers
// what a node needs. Whoever claims a node, refuses a call or checks a model's shape asks here; no other place knows.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>

#include "trianglemix/attention.h"

namespace tmx {

// Texts below live forever.

// Head dimensions: the multiples of `step` from `least` to `most`.
struct dim_range {
    int64_t least;
    int64_t most;
    int64_t step;
    const char * text;  // what a node with another dimension is told

    constexpr bool contains(int64_t d) const { return d >= least && d <= most && d % step == 0; }
};

// Rows, keys, heads and streams: each below that.
struct size_bound {
    int64_t below;
    const char * text;
};

class dtype_set {
  public:
    constexpr dtype_set(std::initializer_list<dtype> types) {
        for (const dtype type : types) {
            bits_ |= bit(type);
        }
    }
    constexpr bool contains(dtype type) const { return (bits_ & bit(type)) != 0; }

  private:
    // What is no dtype is in no set.
    static constexpr uint32_t bit(dtype type) {
        const auto index = static_cast<uint32_t>(type);
        return index < 32 ? uint32_t{1} << index : 0;
    }
    uint32_t bits_ = 0;
};

// One row of the table. Which CPU kernels also have a fast precision depends on the CPU: cpu_kernels() says it.
struct kernel_features {
    dtype_set kv_types;  // of keys, and of values
    bool mixes_bf16;     // bf16 beside another type
    dim_range dims;      // of queries and keys, and of values
    bool logit_softcap;  // this and the next two: what attention_args calls so
    bool sink_logit;
    bool alibi_slope;
    size_bound sizes;      // of n_q, n_kv, n_head and n_batch
    bool masked_segments;  // segments that a mask describes
};

// What attention_args may have, on every device: d_qk and d_v.
inline constexpr dim_range k_head_dims = {16, 256, 16, "head dimension is not a multiple of 16 in 16..256"};

inline constexpr size_bound k_any_size = {std::numeric_limits<int64_t>::max(), "2^63 - 1 rows, keys, heads or streams"};

// attention_forward()
inline constexpr kernel_features k_cpu_features = {
    .kv_types = {dtype::f32, dtype::f16, dtype::bf16, dtype::q8_0, dtype::q4_0},
    .mixes_bf16 = true,
    .dims = k_head_dims,
    .logit_softcap = true,
    .sink_logit = true,
    .alibi_slope = true,
    .sizes = k_any_size,
    .masked_segments = true,
};

// cuda_attention_forward(), of every architecture
inline constexpr kernel_features k_cuda_features = {
    .kv_types = {dtype::f16, dtype::bf16, dtype::q8_0, dtype::q4_0},
    .mixes_bf16 = false,
    .dims = k_head_dims,
    .logit_softcap = true,
    .sink_logit = true,
    .alibi_slope = false,
    .sizes = {int64_t{1} << 30, "2^30 rows, keys, heads or streams, or more"},
    .masked_segments = false,
};

// The gradient probe's forward and reverse pass, on the CPU and on a GPU
inline constexpr kernel_features k_probe_features = {
    .kv_types = {dtype::f32},
    .mixes_bf16 = false,
    .dims = k_head_dims,
    .logit_softcap = false,
    .sink_logit = false,
    .alibi_slope = false,
    .sizes = {int64_t{1} << 31, "2^31 rows, keys, heads or streams, or more"},
    .masked_segments = false,
};

// What a node asks for. Strides, pointers and the device are no matter here, so a scheduler's question, which comes
// before there is memory, can be answered.
struct attention_needs {
    dtype k_type = dtype::f16;
    dtype v_type = dtype::f16;
    int64_t d_qk = 0;
    int64_t d_v = 0;
    int64_t n_head = 0;
    int64_t n_head_kv = 0;
    int64_t n_batch = 1;
    int64_t n_q = 0;
    int64_t n_kv = 0;
    bool logit_softcap = false;
    bool sink_logit = false;
    bool alibi_slope = false;
    bool masked_segments = false;
};

// Options count as asked for if their pointers are not null; args.mask counts only where a segment is masked.
attention_needs needs_of(const attention_args & args, std::span<const attention_segment> segments = {}) noexcept;

// What a mismatch is about. `heads` is no feature that one may have or lack: query heads are a multiple of key heads
// everywhere.
enum class attention_feature : uint8_t {
    types,
    dims,
    heads,
    logit_softcap,
    sink_logit,
    alibi_slope,
    sizes,
    masked_segments,
};

struct feature_mismatch {
    attention_feature what;
    const char * text;
};

// The first need, in the order of attention_feature, that an implementation does not cover; none if it covers all.
std::optional<feature_mismatch> first_mismatch(const kernel_features & has, const attention_needs & needs) noexcept;

}  // namespace tmx
