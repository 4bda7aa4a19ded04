// Rounds rows to 8 bits as round-inl.h does, bit for bit, in a third of the time: AVX-512 has instructions for what
// Debian 12's Highway puts together. Compiled for x86-64 only; each function opens its own target region, so nothing
// else in the file may use these instructions.
#pragma once

#if defined(__x86_64__)

#include <cstdint>

#include "products/kernel.h"
#include "products/quads_avx512_vnni.h"

#define TMX_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,f16c")))

namespace tmx::products::avx512_vnni {

TMX_TARGET inline float in_f16(float x) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)));
}

// Of n values, a multiple of 32.
TMX_TARGET inline float largest_magnitude(const float * source, int64_t n) {
    __m512 largest = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += 32) {
        const __m512 low = _mm512_abs_ps(_mm512_loadu_ps(source + i));
        const __m512 high = _mm512_abs_ps(_mm512_loadu_ps(source + i + 16));
        largest = _mm512_max_ps(largest, _mm512_max_ps(low, high));
    }
    return _mm512_reduce_max_ps(largest);
}

// The first of n values whose magnitude is `magnitude`.
TMX_TARGET inline float first_with_magnitude(const float * source, int64_t n, float magnitude) {
    const __m512 wanted = _mm512_set1_ps(magnitude);
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 found = _mm512_cmp_ps_mask(_mm512_abs_ps(_mm512_loadu_ps(source + i)), wanted, _CMP_EQ_OQ);
        if (found != 0) {
            return source[i + __builtin_ctz(found)];
        }
    }
    return magnitude;
}

// 16 values times `factor`, to the nearest integer, ties to even. More than 127 becomes 127.
TMX_TARGET inline __m128i round_values(const float * source, __m512 factor) {
    return _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(source), factor)));
}

TMX_TARGET inline int32_t sum_of(__m128i lanes) {
    const __m128i pairs = _mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32(pairs, 0xb1)));
}

// Writes 32 integers, and their sum, or those of the first and of the last 16.
template <int64_t group>
TMX_TARGET inline void round_32(const float * source, float factor, int8_t * target, int32_t sums[32 / group]) {
    const __m512 scale = _mm512_set1_ps(factor);
    const __m256i values = _mm256_set_m128i(round_values(source + 16, scale), round_values(source, scale));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(target), values);
    const __m256i quads = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), values);
    const __m128i low = _mm256_castsi256_si128(quads);
    const __m128i high = _mm256_extracti128_si256(quads, 1);
    if constexpr (group == 32) {
        sums[0] = sum_of(_mm_add_epi32(low, high));
    } else {
        sums[0] = sum_of(low);
        sums[1] = sum_of(high);
    }
}

template <rounding how, int64_t group, bool has_min>
TMX_TARGET void round_row(const float * source, int64_t depth, int8_t * values, float * scales, float * sums,
                          int32_t * starts) {
    constexpr bool k_type = how == rounding::q8_k;
    float factor = 0;
    float scale = 0;
    for (int64_t i = 0; i < depth; i += 32) {
        if (!k_type || i % 256 == 0) {
            const float largest = largest_magnitude(source + i, k_type ? 256 : 32);
            if (largest == 0.0f) {
                factor = scale = 0;
            } else if (k_type) {
                factor = -127.0f / first_with_magnitude(source + i, 256, largest);
                scale = 1.0f / factor;
            } else {
                factor = 127.0f / largest;
                scale = largest / 127.0f;
            }
        }
        int32_t found[32 / group];
        round_32<group>(source + i, factor, values + i, found);
        for (int64_t part = 0; part < 32 / group; ++part) {
            *scales++ = k_type ? scale : in_f16(scale);
            *starts++ = -128 * found[part];
            if (has_min) {
                const float sum = scale * static_cast<float>(found[part]);
                *sums++ = how == rounding::q8_1 ? in_f16(sum) : sum;
            }
        }
    }
}

inline void round_rows(const product_args & args, int64_t row_begin, int64_t row_end, const rounded_rows & rounded) {
    const weight_format & format = format_of(args.type);
    const int64_t n_groups = args.depth / format.group;
    auto * round = &round_row<rounding::q8_0, 32, false>;
    if (format.row_rounding == rounding::q8_1) {
        round = &round_row<rounding::q8_1, 32, true>;
    } else if (format.row_rounding == rounding::q8_k) {
        round = format.has_min ? &round_row<rounding::q8_k, 32, true> : &round_row<rounding::q8_k, 16, false>;
    }
    for (int64_t row = row_begin; row < row_end; ++row) {
        const int64_t first = row * n_groups;
        round(args.rows + row * args.row_stride, args.depth,
              static_cast<int8_t *>(rounded.values) + row * rounded.row_stride, rounded.scales + first,
              rounded.sums + first, rounded.starts + first);
    }
}

}  // namespace tmx::products::avx512_vnni

#undef TMX_TARGET

#endif
