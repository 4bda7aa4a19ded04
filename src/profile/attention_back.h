// profile/attention_back.h -- the reverse pass of causal attention, tile by tile, with what the probe counts on the
// way.
//
// For one head, with S = scale * q k^T, A = softmax(S), o = A v and the derivative do of the probed logit by o:
//     dA = do v^T        D_i = sum_j A_ij dA_ij = do_i . o_i        dS = A * (dA - D)
//     dv = A^T do        dq = scale * dS k                          dk = scale * dS^T q
// A is made again from lse, the logarithm of its row's sum that the forward pass leaves; nothing of size n x n is kept.
#pragma once

#include <cstdint>

#include "profile/section_sums.h"

namespace tmx {

// All arrays f32, contiguous.
struct attention_back_args {
    const float * q = nullptr;      // [n, n_head, d]
    const float * k = nullptr;      // [n, n_head_kv, d]
    const float * v = nullptr;      // [n, n_head_kv, d]
    const float * out = nullptr;    // [n, n_head, d]
    const float * lse = nullptr;    // [n_head, n]
    const float * d_out = nullptr;  // [n, n_head, d]
    float * dq = nullptr;           // [n, n_head, d]
    float * dk = nullptr;           // [n, n_head_kv, d]
    float * dv = nullptr;           // [n, n_head_kv, d]
    head_sums * sums = nullptr;     // [n_head]
    int64_t n = 0;
    int64_t n_head = 0;
    int64_t n_head_kv = 0;
    int64_t d = 0;  // multiple of 16, at most 256
    float scale = 0;
    triangle_shape shape;
    int32_t n_threads = 1;
};

// NUMERICS f32 products and sums within a tile, sums over tiles of a head in f32 (dq, dk, dv) and double (sums). The
// work
//          is cut in a way that depends on the arguments alone, so the bits do not depend on the number of threads.
// COST     14 d FLOP a pair and head in tiles of 64 x 64; memory: 2 * n * d floats for each piece of work, about 16
//          pieces, or n_head if that is more.
// ERRORS   std::bad_alloc.
void attention_back(const attention_back_args & args);

}  // namespace tmx
