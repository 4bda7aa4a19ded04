// Compiles the sums along lines for every instruction set and lists the results, best first. What is said of targets in
// kernels.cpp holds here.
#include "cpu_base/highway_targets.h"

#define HWY_COMPILE_ALL_ATTAINABLE
#define HWY_BROKEN_EMU128 0
#define TOOLCHAIN_MISS_SYS_AUXV_H
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/line_kernels.cpp"
#include "hwy/foreach_target.h"

#include "kernels/cpu/line_sums-inl.h"

#if HWY_ONCE

#include <iterator>

#include "hwy/targets.h"

namespace tmx::cpu {
namespace {

using cpu_base::k_any_cpu;

// The names of kernels.cpp: what a kernel of that name computes attention with adds up the lines.
constexpr line_kernel k_kernels[] = {
#if HWY_TARGETS & HWY_AVX3
    {"avx512_bf16", HWY_AVX3, &avx512_bf16::available, &N_AVX3::measure_slab, &N_AVX3::add_slab},
    {"avx512", HWY_AVX3, nullptr, &N_AVX3::measure_slab, &N_AVX3::add_slab},
#endif
#if HWY_TARGETS & HWY_AVX2
    {"avx2", HWY_AVX2, nullptr, &N_AVX2::measure_slab, &N_AVX2::add_slab},
#endif
#if HWY_ARCH_ARM_A64
    {"neon", k_any_cpu, nullptr, &HWY_NAMESPACE::measure_slab, &HWY_NAMESPACE::add_slab},
#endif
#if HWY_TARGETS & HWY_SSSE3
    {"ssse3", HWY_SSSE3, nullptr, &N_SSSE3::measure_slab, &N_SSSE3::add_slab},
#endif
#if HWY_TARGETS & HWY_EMU128
    {"portable", k_any_cpu, nullptr, &N_EMU128::measure_slab, &N_EMU128::add_slab},
#endif
};

}  // namespace

cpu_base::kernel_list<line_kernel> all_line_kernels() {
    return {k_kernels, std::size(k_kernels)};
}

bool runs_here(const line_kernel & k) {
    return cpu_base::cpu_has(hwy::SupportedTargets(), k.highway_target, k.available);
}

}  // namespace tmx::cpu

#endif  // HWY_ONCE
