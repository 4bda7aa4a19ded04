// probe/probe_attention.h -- attention of one layer in f32, forward and backward, wherever the probe's device is.
//
// For one head, with S = scale * q k^T, A = softmax(S), o = A v and the derivative do of the probed logit by o:
//     dA = do v^T        D_i = sum_j A_ij dA_ij = do_i . o_i        dS = A * (dA - D)
//     dv = A^T do        dq = scale * dS k                          dk = scale * dS^T q
// A is made again from lse, the logarithm of its row's sum that the forward pass leaves; nothing of size n x n is kept.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "probe/section_sums.h"

namespace tmx {

// All arrays f32, contiguous, in host memory.
struct probe_attention_shape {
    int64_t n = 0;  // rows, and keys: row i has rank i
    int64_t n_head = 0;
    int64_t n_head_kv = 0;
    int64_t d = 0;  // multiple of 16, at most 256
    float scale = 0;
};

struct probe_forward_args {
    probe_attention_shape shape;
    const float * q = nullptr;  // [n, n_head, d]
    const float * k = nullptr;  // [n, n_head_kv, d]
    const float * v = nullptr;  // [n, n_head_kv, d]
    float * out = nullptr;      // [n, n_head, d]
    float * lse = nullptr;      // [n_head, n]; null: not wanted
    // What rows keep: these cover all rows in order (geometry.h); heads with dense_head[h] != 0 keep every key.
    std::span<const row_segment> segments;
    const uint8_t * dense_head = nullptr;  // [n_head]; null: none
};

// The reverse pass of dense attention, with what the probe counts on the way.
struct probe_backward_args {
    probe_attention_shape shape;
    const float * q = nullptr;      // [n, n_head, d]
    const float * k = nullptr;      // [n, n_head_kv, d]
    const float * v = nullptr;      // [n, n_head_kv, d]
    const float * out = nullptr;    // [n, n_head, d]
    const float * lse = nullptr;    // [n_head, n]
    const float * d_out = nullptr;  // [n, n_head, d]
    float * dq = nullptr;           // [n, n_head, d]
    float * dk = nullptr;           // [n, n_head_kv, d]
    float * dv = nullptr;           // [n, n_head_kv, d]
    head_sums * sums = nullptr;     // [n_head]: over the pairs of each section of `sections`
    triangle_shape sections;
};

// ERRORS   failure (a device's error, out of its memory), std::bad_alloc.
// NUMERICS f32 products and sums within a tile; the same bits on every run on one device.
// THREADS  One call at a time.
class probe_attention {
  public:
    virtual ~probe_attention() = default;
    virtual void forward(const probe_forward_args & args) = 0;
    virtual void backward(const probe_backward_args & args) = 0;
};

std::unique_ptr<probe_attention> make_cpu_probe_attention(int32_t n_threads);

// On the CUDA device of that PCI address as ggml names it ("0000:1b:00.0", or "0000:1b:00.0-v1"). Null: this build has
// no CUDA kernels, or CUDA has no such device, or it is older than compute capability 8.0.
//
// COST     18 d FLOP a pair and head, 4 d of them forward, for the pairs of the tiles visited. Device memory for the
//          arrays of a call, kept for the next one; they are copied there and back.
std::unique_ptr<probe_attention> make_cuda_probe_attention(const char * pci_address);

}  // namespace tmx
