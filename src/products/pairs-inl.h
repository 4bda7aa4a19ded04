// The product of a few rows with a panel of pairs: 16-bit integers, which every instruction set multiplies and adds in
// pairs. Included once per Highway target.

#if defined(TMX_PRODUCTS_PAIRS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCTS_PAIRS_INL_H
#undef TMX_PRODUCTS_PAIRS_INL_H
#else
#define TMX_PRODUCTS_PAIRS_INL_H
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "products/operands.h"
#include "products/pack-inl.h"
#include "products/round-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::products {
namespace HWY_NAMESPACE {

// Integer sums take 6 x 2 of AVX2's 16 registers, weights two more, a pair of the row's values one. The sums in f32
// stay in memory: they are touched once a group.
constexpr int k_pair_vectors = 2;
constexpr int64_t k_pair_width = k_pair_vectors * k_lanes;

template <int64_t group, bool has_min>
struct pairs_inner {
    template <int rows>
    HWY_NOINLINE void run(const operands<int16_t> & op) const {
        const tag_f32 d;
        const hn::RebindToSigned<tag_f32> d_i32;
        const hn::Repartition<int16_t, tag_f32> d_i16;
        using vec_i32 = hn::Vec<decltype(d_i32)>;
        HWY_ALIGN float sum[rows * k_pair_width] = {};
        const auto * weights = static_cast<const int16_t *>(op.panel->values);
        const float * scales = op.panel->scales;
        const float * mins = op.panel->mins;
        const int16_t * values = op.rows;
        for (int64_t g = 0; g < op.n_groups; ++g) {
            vec_i32 even[rows][k_pair_vectors];
            vec_i32 odd[rows][k_pair_vectors];  // unused where an instruction adds the two products of a pair
            HWY_UNROLL(16)
            for (int r = 0; r < rows; ++r) {
                HWY_UNROLL(16)
                for (int n = 0; n < k_pair_vectors; ++n) {
                    even[r][n] = odd[r][n] = hn::Zero(d_i32);
                }
            }
            for (int64_t pair = 0; pair < group / 2; ++pair) {
                const auto first = hn::Load(d_i16, weights);
                const auto second = hn::Load(d_i16, weights + 2 * k_lanes);
                HWY_UNROLL(16)
                for (int r = 0; r < rows; ++r) {
                    int32_t bits = 0;
                    std::memcpy(&bits, values + r * op.row_stride, sizeof(bits));
                    const auto value = hn::BitCast(d_i16, hn::Set(d_i32, bits));
                    even[r][0] = hn::ReorderWidenMulAccumulate(d_i32, value, first, even[r][0], odd[r][0]);
                    even[r][1] = hn::ReorderWidenMulAccumulate(d_i32, value, second, even[r][1], odd[r][1]);
                }
                weights += 2 * k_pair_width;
                values += 2;
            }
            HWY_UNROLL(16)
            for (int r = 0; r < rows; ++r) {
                const auto row_scale = hn::Set(d, op.row_scales[r * op.n_groups + g]);
                HWY_UNROLL(16)
                for (int n = 0; n < k_pair_vectors; ++n) {
                    float * place = sum + r * k_pair_width + n * k_lanes;
                    const auto scale = hn::Mul(hn::Load(d, scales + n * k_lanes), row_scale);
                    const auto product = hn::ConvertTo(d, hn::RearrangeToOddPlusEven(even[r][n], odd[r][n]));
                    auto next = hn::MulAdd(product, scale, hn::Load(d, place));
                    if constexpr (has_min) {
                        next = hn::MulAdd(hn::Load(d, mins + n * k_lanes), hn::Set(d, op.row_sums[r * op.n_groups + g]),
                                          next);
                    }
                    hn::Store(next, d, place);
                }
            }
            scales += k_pair_width;
            mins += has_min ? k_pair_width : 0;
        }
        for (int r = 0; r < rows; ++r) {
            for (int n = 0; n < k_pair_vectors; ++n) {
                hn::StoreU(hn::Load(d, sum + r * k_pair_width + n * k_lanes), d,
                           op.out + r * op.out_stride + n * k_lanes);
            }
        }
    }
};

inline void multiply_pairs(const product_args & args, const rounded_rows & rounded, const weight_panel & panel,
                           const tile & t) {
    const weight_format & format = format_of(args.type);
    if (format.group == 16) {
        multiply_tile<int16_t, k_pair_width>(args, rounded, panel, t, pairs_inner<16, false>());
    } else if (format.has_min) {
        multiply_tile<int16_t, k_pair_width>(args, rounded, panel, t, pairs_inner<32, true>());
    } else {
        multiply_tile<int16_t, k_pair_width>(args, rounded, panel, t, pairs_inner<32, false>());
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::products
HWY_AFTER_NAMESPACE();

#endif
