// The product of a few rows with a panel of pairs of 14-bit integers, with AVX512-VNNI's instruction, which Debian 12's
// Highway does not expose. Compiled for x86-64 only; each function opens its own target region, so nothing else in the
// file may use these instructions.
#pragma once

#if defined(__x86_64__)

#include <cstdint>
#include <cstring>

#include "cpu_base/x86_intrinsics.h"
#include "products/operands.h"
#include "products/quads_avx512_vnni.h"

namespace tmx::products::avx512_vnni {

// #pragma GCC unroll needs a literal; 16 covers every loop over rows, vectors and pairs below.
struct pairs_inner {
    template <int rows>
    __attribute__((noinline, target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))) void run(
        const operands<int16_t> & op) const {
        __m512 sum[rows][k_vectors];
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) {
            sum[r][0] = sum[r][1] = _mm512_setzero_ps();
        }
        const auto * weights = static_cast<const int16_t *>(op.panel->values);
        const float * scales = op.panel->scales;
        const int16_t * values = op.rows;
        for (int64_t g = 0; g < op.n_groups; ++g) {
            __m512i product[rows][k_vectors];
#pragma GCC unroll 16
            for (int r = 0; r < rows; ++r) {
                product[r][0] = product[r][1] = _mm512_setzero_si512();
            }
#pragma GCC unroll 16
            for (int64_t pair = 0; pair < k_i16_group / 2; ++pair) {
                const __m512i first = _mm512_load_si512(weights + pair * k_width * 2);
                const __m512i second = _mm512_load_si512(weights + pair * k_width * 2 + 32);
#pragma GCC unroll 16
                for (int r = 0; r < rows; ++r) {
                    int32_t bits = 0;
                    std::memcpy(&bits, values + r * op.row_stride + pair * 2, sizeof(bits));
                    const __m512i value = _mm512_set1_epi32(bits);
                    product[r][0] = _mm512_dpwssd_epi32(product[r][0], first, value);
                    product[r][1] = _mm512_dpwssd_epi32(product[r][1], second, value);
                }
            }
            weights += k_i16_group * k_width;
            values += k_i16_group;
#pragma GCC unroll 16
            for (int n = 0; n < k_vectors; ++n) {
                const __m512 scale = _mm512_load_ps(scales + n * 16);
#pragma GCC unroll 16
                for (int r = 0; r < rows; ++r) {
                    const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(op.row_scales[r * op.n_groups + g]));
                    sum[r][n] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product[r][n]), both, sum[r][n]);
                }
            }
            scales += k_width;
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
    multiply_tile<int16_t, k_width>(args, rounded, panel, t, pairs_inner());
}

}  // namespace tmx::products::avx512_vnni

#endif
