// The product of a few rows with a panel of quads: 8-bit integers, with AVX512-VNNI's instruction, which Debian 12's
// Highway does not expose. Compiled for x86-64 only; each function opens its own target region, so nothing else in the
// file may use these instructions.
//
// The instruction multiplies unsigned by signed bytes. Weights are biased by 128 to be unsigned; what the bias adds to
// a group's sum depends on the row alone, so the sum starts from its negative (rounded_rows::starts).
#pragma once

#if defined(__x86_64__)

#include <cstdint>
#include <cstring>

#include "cpu_base/x86_intrinsics.h"
#include "products/operands.h"

namespace tmx::products::avx512_vnni {

constexpr int k_vectors = 2;
constexpr int64_t k_width = k_vectors * 16;

// #pragma GCC unroll needs a literal; 16 covers every loop over rows and vectors below.
template <int64_t group, bool has_min>
struct quads_inner {
    template <int rows>
    __attribute__((noinline, target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))) void run(
        const operands<int8_t> & op) const {
        __m512 sum[rows][k_vectors];
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
            for (int n = 0; n < k_vectors; ++n) {
                sum[r][n] = _mm512_setzero_ps();
            }
        }
        const auto * weights = static_cast<const uint8_t *>(op.panel->values);
        const float * scales = op.panel->scales;
        const float * mins = op.panel->mins;
        const int8_t * values = op.rows;
        const int8_t * ahead = op.rows + rows * op.row_stride;
        for (int64_t g = 0; g < op.n_groups; ++g) {
            __m512i product[rows][k_vectors];
            if constexpr (rows ==
                          k_tile_rows) {  // more rows probably follow; the loop asks for each of their lines once
#pragma GCC unroll 16
                for (int64_t byte = 0; byte < rows * group; byte += 64) {
                    _mm_prefetch(reinterpret_cast<const char *>(ahead) + byte, _MM_HINT_T0);
                }
                ahead += rows * group;
            }
#pragma GCC unroll 16
            for (int r = 0; r < rows; ++r) {
                product[r][0] = product[r][1] = _mm512_set1_epi32(op.starts[r * op.n_groups + g]);
            }
#pragma GCC unroll 8
            for (int64_t quad = 0; quad < group / 4; ++quad) {
                const __m512i first = _mm512_load_si512(weights + quad * k_width * 4);
                const __m512i second = _mm512_load_si512(weights + quad * k_width * 4 + 64);
#pragma GCC unroll 16
                for (int r = 0; r < rows; ++r) {
                    int32_t bits = 0;
                    std::memcpy(&bits, values + r * op.row_stride + quad * 4, sizeof(bits));
                    const __m512i value = _mm512_set1_epi32(bits);
                    product[r][0] = _mm512_dpbusd_epi32(product[r][0], first, value);
                    product[r][1] = _mm512_dpbusd_epi32(product[r][1], second, value);
                }
            }
            weights += group * k_width;
            values += group;
#pragma GCC unroll 16
            for (int n = 0; n < k_vectors; ++n) {
                const __m512 scale = _mm512_load_ps(scales + n * 16);
#pragma GCC unroll 16
                for (int r = 0; r < rows; ++r) {
                    const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(op.row_scales[r * op.n_groups + g]));
                    sum[r][n] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product[r][n]), both, sum[r][n]);
                }
                if constexpr (has_min) {
                    const __m512 min = _mm512_load_ps(mins + n * 16);
#pragma GCC unroll 16
                    for (int r = 0; r < rows; ++r) {
                        sum[r][n] = _mm512_fmadd_ps(min, _mm512_set1_ps(op.row_sums[r * op.n_groups + g]), sum[r][n]);
                    }
                }
            }
            scales += k_width;
            mins += has_min ? k_width : 0;
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

inline void multiply_quads(const product_args & args, const rounded_rows & rounded, const weight_panel & panel,
                           const tile & t) {
    const weight_format & format = format_of(args.type);
    if (format.group == 16) {
        multiply_tile<int8_t, k_width>(args, rounded, panel, t, quads_inner<16, false>());
    } else if (format.has_min) {
        multiply_tile<int8_t, k_width>(args, rounded, panel, t, quads_inner<32, true>());
    } else {
        multiply_tile<int8_t, k_width>(args, rounded, panel, t, quads_inner<32, false>());
    }
}

inline bool available() {
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw");
}

}  // namespace tmx::products::avx512_vnni

#endif
