// Products of any size from register tiles. Included once per target.

#if defined(TMX_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCT_INL_H
#undef TMX_PRODUCT_INL_H
#else
#define TMX_PRODUCT_INL_H
#endif

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "hwy/highway.h"
#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/gemm_bf16_avx512.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::cpu {
namespace HWY_NAMESPACE {

// tile<rows, vectors> for every rows 1..k_gemm_rows and vectors 1..k_panel_vectors.
using f32_tile = void (*)(const gemm_operands &);
template <size_t... i>
constexpr std::array<f32_tile, sizeof...(i)> f32_tiles(std::index_sequence<i...>) {
    return {&gemm_tile<static_cast<int>(i / k_panel_vectors + 1), static_cast<int>(i % k_panel_vectors + 1)>...};
}
constexpr auto k_f32_tiles = f32_tiles(std::make_index_sequence<k_gemm_rows * k_panel_vectors>());

#if HWY_TARGET == HWY_AVX3
using bf16_tile = void (*)(const avx512_bf16::gemm_operands &);
template <size_t... i>
constexpr std::array<bf16_tile, sizeof...(i)> bf16_tiles(std::index_sequence<i...>) {
    return {&avx512_bf16::gemm_tile<static_cast<int>(i / k_panel_vectors + 1),
                                    static_cast<int>(i % k_panel_vectors + 1)>...};
}
constexpr auto k_bf16_tiles = bf16_tiles(std::make_index_sequence<k_gemm_rows * k_panel_vectors>());
#endif

// C[rows x width] (+)= A * panel. a, b in f32 or, fast, in bf16 pairs (depth and strides then count pairs).
template <bool fast>
HWY_INLINE void product(int64_t rows, int64_t width, const gemm_operands & op) {
    const size_t index = static_cast<size_t>((rows - 1) * k_panel_vectors + width / k_lanes - 1);
    if constexpr (!fast) {
        k_f32_tiles[index](op);
    } else {
#if HWY_TARGET == HWY_AVX3
        k_bf16_tiles[index]({reinterpret_cast<const uint32_t *>(op.a), op.a_stride,
                             reinterpret_cast<const uint32_t *>(op.b), op.depth, op.c, op.c_stride, op.c_factor});
#endif
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::cpu
HWY_AFTER_NAMESPACE();

#endif
