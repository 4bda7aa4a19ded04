// Compiles the steps for every instruction set and lists the kernels, best first. What is said of targets in
// kernels/cpu/kernels.cpp holds here.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_AVX3_DL | HWY_SSE4)
#define HWY_COMPILE_ALL_ATTAINABLE
// gcc's bug 106322 (see there) is about products of 32-bit integers that keep their upper halves; ours keep the lower.
#define HWY_BROKEN_EMU128 0
#define TOOLCHAIN_MISS_SYS_AUXV_H
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "products/kernels.cpp"
#include "hwy/foreach_target.h"

#include "products/pack-inl.h"
#include "products/pairs-inl.h"
#include "products/quads_avx512_vnni.h"
#include "products/round-inl.h"

#if HWY_ONCE

#include <iterator>
#include <limits>

#include "hwy/targets.h"

namespace tmx::products {
namespace {

constexpr int64_t k_never = std::numeric_limits<int64_t>::max();

constexpr kernel k_kernels[] = {
#if HWY_TARGETS & HWY_AVX3
    {"avx512_vnni", HWY_AVX3, &avx512_vnni::available, 64, avx512_vnni::k_width, 1, &N_AVX3::round_rows<int8_t>,
     &N_AVX3::pack_panel<N_AVX3::quads, avx512_vnni::k_width>, &avx512_vnni::multiply_quads},
    {"avx512", HWY_AVX3, nullptr, k_never, N_AVX3::k_pair_width, 2, &N_AVX3::round_rows<int16_t>,
     &N_AVX3::pack_panel<N_AVX3::pairs, N_AVX3::k_pair_width>, &N_AVX3::multiply_pairs},
#endif
#if HWY_TARGETS & HWY_AVX2
    {"avx2", HWY_AVX2, nullptr, k_never, N_AVX2::k_pair_width, 2, &N_AVX2::round_rows<int16_t>,
     &N_AVX2::pack_panel<N_AVX2::pairs, N_AVX2::k_pair_width>, &N_AVX2::multiply_pairs},
#endif
#if HWY_ARCH_ARM_A64
    {"neon", k_any_cpu, nullptr, k_never, HWY_NAMESPACE::k_pair_width, 2, &HWY_NAMESPACE::round_rows<int16_t>,
     &HWY_NAMESPACE::pack_panel<HWY_NAMESPACE::pairs, HWY_NAMESPACE::k_pair_width>, &HWY_NAMESPACE::multiply_pairs},
#endif
#if HWY_TARGETS & HWY_SSSE3
    {"ssse3", HWY_SSSE3, nullptr, k_never, N_SSSE3::k_pair_width, 2, &N_SSSE3::round_rows<int16_t>,
     &N_SSSE3::pack_panel<N_SSSE3::pairs, N_SSSE3::k_pair_width>, &N_SSSE3::multiply_pairs},
#endif
#if HWY_TARGETS & HWY_EMU128
    {"portable", k_any_cpu, nullptr, k_never, N_EMU128::k_pair_width, 2, &N_EMU128::round_rows<int16_t>,
     &N_EMU128::pack_panel<N_EMU128::pairs, N_EMU128::k_pair_width>, &N_EMU128::multiply_pairs},
#endif
};

}  // namespace

kernel_list all_kernels() {
    return {k_kernels, std::size(k_kernels)};
}

bool runs_here(const kernel & k) {
    // Asked once: a virtual machine may take long to answer.
    static const int64_t targets = hwy::SupportedTargets();
    const bool has_target = k.highway_target == k_any_cpu || (targets & k.highway_target) != 0;
    return has_target && (k.available == nullptr || k.available());
}

}  // namespace tmx::products

#endif  // HWY_ONCE
