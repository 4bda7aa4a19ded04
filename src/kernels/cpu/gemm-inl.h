// Register-blocked product of a few rows with one packed panel, in f32: C[rows x width] = alpha * C + A * B.
// Included once per Highway target.

#if defined(TMX_GEMM_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_GEMM_INL_H
#undef TMX_GEMM_INL_H
#else
#define TMX_GEMM_INL_H
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Rows x vectors of C held in registers. A step of the inner loop costs k_gemm_rows broadcasts and k_panel_vectors
// loads for k_gemm_rows * k_panel_vectors FMAs. 6 x 4 = 24 accumulators of 32 registers (AVX-512, NEON) leave room for
// one row of B and a broadcast; 16 registers (AVX2 and below) hold 6 x 2 = 12.
constexpr int k_gemm_rows = 6;
#if HWY_TARGET <= HWY_AVX3 || (HWY_ARCH_ARM_A64 && HWY_TARGET != HWY_EMU128)
constexpr int k_panel_vectors = 4;
#else
constexpr int k_panel_vectors = 2;
#endif

using tag_f32 = hn::ScalableTag<float>;
using vec_f32 = hn::Vec<tag_f32>;
constexpr int64_t k_lanes = static_cast<int64_t>(hn::MaxLanes(tag_f32()));
constexpr int64_t k_panel_width = k_panel_vectors * k_lanes;

// Left operand: rows of A (a[r * a_stride + k]); right operand: panel b[k * width + column], width = vectors * k_lanes.
struct gemm_operands {
    const float * a;
    int64_t a_stride;
    const float * b;
    int64_t depth;
    float * c;  // c[r * c_stride + column]
    int64_t c_stride;
    const float * c_factor;  // [rows] multiplies C before the sum is added; null: C is overwritten
};

template <int rows, int vectors>
HWY_NOINLINE void gemm_tile(const gemm_operands & op) {
    const tag_f32 d;
    vec_f32 sum[rows][vectors];
    if (op.c_factor) {
        HWY_UNROLL(16)
        for (int r = 0; r < rows; ++r) {
            const vec_f32 factor = hn::Set(d, op.c_factor[r]);
            HWY_UNROLL(16)
            for (int n = 0; n < vectors; ++n) {
                sum[r][n] = hn::Mul(factor, hn::Load(d, op.c + r * op.c_stride + n * k_lanes));
            }
        }
    } else {
        HWY_UNROLL(16)
        for (int r = 0; r < rows; ++r) {
            HWY_UNROLL(16)
            for (int n = 0; n < vectors; ++n) {
                sum[r][n] = hn::Zero(d);
            }
        }
    }
    const float * HWY_RESTRICT a = op.a;
    const float * HWY_RESTRICT b = op.b;
    const int64_t a_stride = op.a_stride;
    for (int64_t k = 0; k < op.depth; ++k) {
        vec_f32 right[vectors];
        HWY_UNROLL(16)
        for (int n = 0; n < vectors; ++n) {
            right[n] = hn::Load(d, b + n * k_lanes);
        }
        HWY_UNROLL(16)
        for (int r = 0; r < rows; ++r) {
            const vec_f32 left = hn::Set(d, a[r * a_stride]);
            HWY_UNROLL(16)
            for (int n = 0; n < vectors; ++n) {
                sum[r][n] = hn::MulAdd(left, right[n], sum[r][n]);
            }
        }
        a += 1;
        b += vectors * k_lanes;
    }
    HWY_UNROLL(16)
    for (int r = 0; r < rows; ++r) {
        HWY_UNROLL(16)
        for (int n = 0; n < vectors; ++n) {
            hn::Store(sum[r][n], d, op.c + r * op.c_stride + n * k_lanes);
        }
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::cpu
HWY_AFTER_NAMESPACE();

#endif
