// Compiles the algorithm for every instruction set and lists the results, best first.

// 16-lane vectors at most: tiles are multiples of 16 elements. SVE's length is unknown at compile time, so its
// registers cannot form the arrays of a register tile; NEON serves those CPUs. SSE4 would only add code: CPUs without
// AVX2 take SSSE3, the baseline that this file is compiled for on x86-64.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_AVX3_DL | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/kernels.cpp"
#include "hwy/foreach_target.h"

#include "kernels/cpu/tile_attention-inl.h"

#if HWY_ONCE

#include <iterator>

#include "hwy/targets.h"

namespace tmx::cpu {
namespace {

constexpr kernel k_kernels[] = {
#if HWY_TARGETS & HWY_AVX3
    {"avx512_bf16", HWY_AVX3, &avx512_bf16::available, &N_AVX3::run_item<false>, &N_AVX3::run_item<true>},
    {"avx512", HWY_AVX3, nullptr, &N_AVX3::run_item<false>, nullptr},
#endif
#if HWY_TARGETS & HWY_AVX2
    {"avx2", HWY_AVX2, nullptr, &N_AVX2::run_item<false>, nullptr},
#endif
#if HWY_TARGETS & HWY_NEON
    {"neon", HWY_NEON, nullptr, &N_NEON::run_item<false>, nullptr},
#endif
#if HWY_TARGETS & HWY_SSSE3
    {"ssse3", HWY_SSSE3, nullptr, &N_SSSE3::run_item<false>, nullptr},
#endif
};

}  // namespace

kernel_list all_kernels() {
    return {k_kernels, std::size(k_kernels)};
}

bool runs_here(const kernel & k) {
    return (hwy::SupportedTargets() & k.highway_target) != 0 && (k.available == nullptr || k.available());
}

}  // namespace tmx::cpu

#endif  // HWY_ONCE
