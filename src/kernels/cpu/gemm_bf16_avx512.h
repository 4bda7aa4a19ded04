// The fast precision's conversions and product: bf16 pairs, f32 sums, with AVX512-BF16's instructions, which Debian
// 12's Highway does not expose. Same contract as gemm-inl.h, with pairs of depth in one 32-bit element. Compiled for
// x86-64 only; each function opens its own target region, so nothing else in the file may use these instructions.
#pragma once

#if defined(__x86_64__)

#include <cstdint>

#include "cpu_base/x86_intrinsics.h"

namespace tmx::cpu::avx512_bf16 {

struct gemm_operands {
    const uint32_t * a;  // [rows] bf16 pairs, a[r * a_stride + pair]
    int64_t a_stride;
    const uint32_t * b;  // [pairs][width] bf16 pairs
    int64_t n_pairs;
    float * c;
    int64_t c_stride;
    const float * c_factor;  // [rows] multiplies C before the sum is added; null: C is overwritten
};

// #pragma GCC unroll needs a literal; 16 covers every loop over rows and vectors below.
template <int rows, int vectors>
__attribute__((noinline, target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))) void gemm_tile(
    const gemm_operands & op) {
    __m512 sum[rows][vectors];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
        for (int n = 0; n < vectors; ++n) {
            sum[r][n] = op.c_factor ? _mm512_mul_ps(_mm512_set1_ps(op.c_factor[r]),
                                                    _mm512_load_ps(op.c + r * op.c_stride + n * 16))
                                    : _mm512_setzero_ps();
        }
    }
    const uint32_t * a = op.a;
    const uint32_t * b = op.b;
    for (int64_t pair = 0; pair < op.n_pairs; ++pair) {
        __m512bh right[vectors];
#pragma GCC unroll 16
        for (int n = 0; n < vectors; ++n) {
            right[n] = (__m512bh)_mm512_load_si512(b + n * 16);
        }
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) {
            const __m512bh left = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[r * op.a_stride]));
#pragma GCC unroll 16
            for (int n = 0; n < vectors; ++n) {
                sum[r][n] = _mm512_dpbf16_ps(sum[r][n], left, right[n]);
            }
        }
        a += 1;
        b += vectors * 16;
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
        for (int n = 0; n < vectors; ++n) {
            _mm512_store_ps(op.c + r * op.c_stride + n * 16, sum[r][n]);
        }
    }
}

// Element 2i in the lower half, 2i + 1 in the upper half of target[i]; rounds to nearest even, flushes denormals, keeps
// NaN. n: a multiple of 16. Works in place.
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))) inline void pack_adjacent(const float * source,
                                                                                                   int64_t n,
                                                                                                   uint32_t * target) {
    for (int64_t i = 0; i < n; i += 16) {
        _mm256_storeu_si256((__m256i *)(target + i / 2), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(source + i)));
    }
}

// Element i of `even` in the lower half, of `odd` in the upper half of target[i]. Works in place.
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))) inline void pack_rows(const float * even,
                                                                                               const float * odd,
                                                                                               int64_t n,
                                                                                               uint32_t * target) {
    for (int64_t i = 0; i < n; i += 16) {
        const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(even + i)));
        const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(odd + i)));
        _mm512_storeu_si512(target + i, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

inline bool available() {
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw");
}

// AMD's cores start as many of these products a cycle as of f32 ones, which have half as much to multiply; Intel's
// start one for four of f32.
inline bool pays() {
    return !__builtin_cpu_is("intel");
}

}  // namespace tmx::cpu::avx512_bf16

#endif
