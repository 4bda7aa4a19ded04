// The norm of one row. Included once per Highway target.

#if defined(TMX_PRODUCTS_NORMS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCTS_NORMS_INL_H
#undef TMX_PRODUCTS_NORMS_INL_H
#else
#define TMX_PRODUCTS_NORMS_INL_H
#endif

#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "products/kernel.h"
#include "products/round-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::products {
namespace HWY_NAMESPACE {

// Squares are rounded to f32 before they are added, as the host does it.
HWY_INLINE double sum_of_squares(const float * row, int64_t n) {
    const hn::ScalableTag<double> d;
    const hn::Rebind<float, decltype(d)> d_f32;
    constexpr auto lanes = static_cast<int64_t>(hn::MaxLanes(d));
    constexpr int64_t k_sums = 4;  // to hide an addition's latency
    const auto squares = [&](const float * from) HWY_ATTR {
        const auto values = hn::LoadU(d_f32, from);
        return hn::PromoteTo(d, hn::Mul(values, values));
    };
    auto a = hn::Zero(d);
    auto b = a;
    auto c = a;
    auto e = a;
    int64_t i = 0;
    for (; i + k_sums * lanes <= n; i += k_sums * lanes) {
        a = hn::Add(a, squares(row + i));
        b = hn::Add(b, squares(row + i + lanes));
        c = hn::Add(c, squares(row + i + 2 * lanes));
        e = hn::Add(e, squares(row + i + 3 * lanes));
    }
    for (; i + lanes <= n; i += lanes) {
        a = hn::Add(a, squares(row + i));
    }
    double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
    for (; i < n; ++i) {
        const float square = row[i] * row[i];
        sum += static_cast<double>(square);
    }
    return sum;
}

template <bool weighted>
HWY_INLINE void scale_row(const float * row, float factor, const float * weights, int64_t n, float * out) {
    const tag_f32 d;
    const auto scale = hn::Set(d, factor);
    int64_t i = 0;
    for (; i + k_lanes <= n; i += k_lanes) {
        const auto scaled = hn::Mul(hn::LoadU(d, row + i), scale);
        hn::StoreU(weighted ? hn::Mul(scaled, hn::LoadU(d, weights + i)) : scaled, d, out + i);
    }
    for (; i < n; ++i) {
        const float scaled = row[i] * factor;
        out[i] = weighted ? scaled * weights[i] : scaled;
    }
}

inline void norm_row(const norm_args & args, const float * row, float * out) {
    float factor = 1.0f;  // which changes no value
    if (args.normalise) {
        const auto mean = static_cast<float>(sum_of_squares(row, args.width) / static_cast<double>(args.width));
        factor = 1.0f / std::sqrt(mean + args.epsilon);
    }
    if (args.weights != nullptr) {
        scale_row<true>(row, factor, args.weights, args.width, out);
    } else {
        scale_row<false>(row, factor, nullptr, args.width, out);
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::products
HWY_AFTER_NAMESPACE();

#endif
