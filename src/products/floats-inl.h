// The product of a few rows with a panel of floats, and the rounding of rows that goes with it. Included once per
// Highway target.

#if defined(TMX_PRODUCTS_FLOATS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCTS_FLOATS_INL_H
#undef TMX_PRODUCTS_FLOATS_INL_H
#else
#define TMX_PRODUCTS_FLOATS_INL_H
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "products/decode_floats-inl.h"
#include "products/operands.h"
#include "products/round-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::products {
namespace HWY_NAMESPACE {

// As of pairs: 6 x 2 sums, two vectors of weights and a row's value fill AVX2's registers.
constexpr int k_float_vectors = 2;
constexpr int64_t k_float_width = k_float_vectors * k_lanes;

struct floats_inner {
    template <int rows>
    HWY_NOINLINE void run(const operands<float> & op) const {
        const tag_f32 d;
        vec_f32 sum[rows][k_float_vectors];
        HWY_UNROLL(16)
        for (int r = 0; r < rows; ++r) {
            HWY_UNROLL(16)
            for (int n = 0; n < k_float_vectors; ++n) {
                sum[r][n] = hn::Zero(d);
            }
        }
        const auto * weights = static_cast<const float *>(op.panel->values);
        const float * values = op.rows;
        for (int64_t i = 0; i < op.depth; ++i) {
            const auto first = hn::Load(d, weights);
            const auto second = hn::Load(d, weights + k_lanes);
            HWY_UNROLL(16)
            for (int r = 0; r < rows; ++r) {
                const auto value = hn::Set(d, values[r * op.row_stride]);
                sum[r][0] = hn::MulAdd(first, value, sum[r][0]);
                sum[r][1] = hn::MulAdd(second, value, sum[r][1]);
            }
            weights += k_float_width;
            ++values;
        }
        HWY_UNROLL(16)
        for (int r = 0; r < rows; ++r) {
            HWY_UNROLL(16)
            for (int n = 0; n < k_float_vectors; ++n) {
                hn::StoreU(sum[r][n], d, op.out + r * op.out_stride + n * k_lanes);
            }
        }
    }
};

inline void multiply_floats(const product_args & args, const rounded_rows & rounded, const weight_panel & panel,
                            const tile & t) {
    multiply_tile<float, k_float_width>(args, rounded, panel, t, floats_inner());
}

// To f16 or to bf16, kept as f32.
inline void round_float_rows(const product_args & args, int64_t row_begin, int64_t row_end,
                             const rounded_rows & rounded) {
    const bool to_f16 = row_rounding_of(args.type, args.arithmetic) == rounding::f16;
    for (int64_t row = row_begin; row < row_end; ++row) {
        const float * source = args.rows + row * args.row_stride;
        float * target = static_cast<float *>(rounded.values) + row * rounded.row_stride;
        for (int64_t i = 0; i < args.depth; ++i) {
            target[i] = to_f16 ? rounded_to_f16(source[i]) : from_bf16(to_bf16(source[i]));
        }
    }
}

// To bf16.
inline void round_bf16_rows(const product_args & args, int64_t row_begin, int64_t row_end,
                            const rounded_rows & rounded) {
    for (int64_t row = row_begin; row < row_end; ++row) {
        auto * target = static_cast<uint16_t *>(rounded.values) + row * rounded.row_stride;
        round_to_bf16(args.rows + row * args.row_stride, args.depth, target);
        std::fill(target + args.depth, target + rounded.row_stride, uint16_t{0});
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::products
HWY_AFTER_NAMESPACE();

#endif
