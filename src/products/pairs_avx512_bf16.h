// The product of a few rows with a panel of pairs of bf16, with AVX512-BF16's instruction, which Debian 12's Highway
// does not expose. Compiled for x86-64 only; each function opens its own target region, so nothing else in the file may
// use these instructions.
#pragma once

#if defined(__x86_64__)

#include <cstdint>
#include <cstring>

#include "hwy/base.h"
#include "products/operands.h"
#include "products/quads_avx512_vnni.h"

namespace tmx::products::avx512_bf16 {

constexpr int k_vectors = 2;
constexpr int64_t k_width = k_vectors * 16;

// #pragma GCC unroll needs a literal; 16 covers every loop over rows and vectors below.
struct pairs_inner {
    template <int rows>
    __attribute__((noinline, target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))) void run(
        const operands<uint16_t> & op) const {
        __m512 sum[rows][k_vectors];
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) {
            sum[r][0] = sum[r][1] = _mm512_setzero_ps();
        }
        const auto * weights = static_cast<const uint16_t *>(op.panel->values);
        const uint16_t * values = op.rows;
        for (int64_t i = 0; i < op.depth; i += 2) {
            const auto first = (__m512bh)_mm512_load_si512(weights);
            const auto second = (__m512bh)_mm512_load_si512(weights + k_width);
#pragma GCC unroll 16
            for (int r = 0; r < rows; ++r) {
                int32_t bits = 0;
                std::memcpy(&bits, values + r * op.row_stride, sizeof(bits));
                const auto value = (__m512bh)_mm512_set1_epi32(bits);
                sum[r][0] = _mm512_dpbf16_ps(sum[r][0], first, value);
                sum[r][1] = _mm512_dpbf16_ps(sum[r][1], second, value);
            }
            weights += 2 * k_width;
            values += 2;
        }
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
            for (int n = 0; n < k_vectors; ++n) {
                _mm512_storeu_ps(op.out + r * op.out_stride + n * 16, sum[r][n]);
            }
        }
    }
};

inline void multiply_pairs(const product_args & args, const rounded_rows & rounded, const weight_panel & panel,
                           const tile & t) {
    multiply_tile<uint16_t, k_width>(args, rounded, panel, t, pairs_inner());
}

inline bool available() {
    return avx512_vnni::available() && __builtin_cpu_supports("avx512bf16");
}

}  // namespace tmx::products::avx512_bf16

#endif
