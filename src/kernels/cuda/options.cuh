// Options of the variants that have them: softcap, and skipping tiles that lie far below a row's maximum.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/softmax.cuh"

namespace tmx::cuda {

// Softcap: logits to tanh(logit * scale). From 1 - 2 / (e^2x + 1): an error of some 2^-22, whatever x.
template <int k_blocks>
__device__ inline void cap_logits(float (&logits)[k_blocks * 4], float scale) {
    constexpr float k_twice_log2_e = 2.88539008177793f;
#pragma unroll
    for (int i = 0; i < k_blocks * 4; ++i) {
        const float power = ptx::exp2(logits[i] * (scale * k_twice_log2_e));
        logits[i] = fmaf(-2.0f, ptx::reciprocal(power + 1.0f), 1.0f);
    }
}

// How far below a row's largest logit, before scaling, an item skips those of a tile: SKIPS of attention.h.
__device__ inline float skip_distance(const kernel_params & params, const item_place & place) {
    const float n_keys = static_cast<float>(place.rank_begin + place.n_rows);
    return params.skip_factor < n_keys ? log2f(n_keys / params.skip_factor) / params.scale_log2 : INFINITY;
}

// Whether a tile with these maxima matters to the thread's packed rows first_row and first_row + 8. Rows beyond the
// item's last do not count.
__device__ inline bool wants_tile(const item_place & place, const row_pair & rows, const float (&maxima)[2],
                                  int first_row, float distance) {
    const int n_rows = place.packed_rows();
    bool wanted = false;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        wanted |= (first_row + r * 8 < n_rows) & (maxima[r] != -INFINITY) & !(maxima[r] < rows.maximum[r] - distance);
    }
    return wanted;
}

__device__ inline void count_skips(const kernel_params & params, int visited, int skipped) {
    using count = unsigned long long;  // what atomicAdd() knows of 64 bits
    if (params.skips != nullptr) {
        atomicAdd(reinterpret_cast<count *>(&params.skips->visited), static_cast<count>(visited));
        atomicAdd(reinterpret_cast<count *>(&params.skips->skipped), static_cast<count>(skipped));
    }
}

}  // namespace tmx::cuda
