// Compiles the algorithm for every instruction set and lists the results, best first.
#include "cpu_base/highway_targets.h"

// Every target that can be compiled, those below the build's own flags included: the last one, EMU128, is plain C++ and
// runs on any CPU.
#define HWY_COMPILE_ALL_ATTAINABLE
// Highway leaves EMU128 out under gcc before 12.3, which vectorises the upper half of an integer product wrongly
// (gcc's bug 106322). The algorithm has no such product.
#define HWY_BROKEN_EMU128 0
// Highway compiles NEON for CPUs with AES, and finds it only there. The algorithm needs none, and a Raspberry Pi 4 has
// none. Where Highway cannot ask for a CPU's features it takes the compiler's target instead, which on arm64 always has
// NEON; as the file is compiled for that target, no AES instruction can get into it.
#define TOOLCHAIN_MISS_SYS_AUXV_H
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/kernels.cpp"
#include "hwy/foreach_target.h"

#include "kernels/cpu/tile_attention-inl.h"

#if HWY_ONCE

#include <iterator>

#include "hwy/targets.h"

namespace tmx::cpu {
namespace {

using cpu_base::k_any_cpu;

constexpr kernel k_kernels[] = {
#if HWY_TARGETS & HWY_AVX3
    {"avx512_bf16", HWY_AVX3, &avx512_bf16::available, &N_AVX3::run_item<false>, &N_AVX3::run_item<true>,
     &avx512_bf16::pays},
    {"avx512", HWY_AVX3, nullptr, &N_AVX3::run_item<false>, nullptr, nullptr},
#endif
#if HWY_TARGETS & HWY_AVX2
    {"avx2", HWY_AVX2, nullptr, &N_AVX2::run_item<false>, nullptr, nullptr},
#endif
#if HWY_ARCH_ARM_A64
    {"neon", k_any_cpu, nullptr, &HWY_NAMESPACE::run_item<false>, nullptr, nullptr},
#endif
#if HWY_TARGETS & HWY_SSSE3
    {"ssse3", HWY_SSSE3, nullptr, &N_SSSE3::run_item<false>, nullptr, nullptr},
#endif
#if HWY_TARGETS & HWY_EMU128
    {"portable", k_any_cpu, nullptr, &N_EMU128::run_item<false>, nullptr, nullptr},
#endif
};

}  // namespace

cpu_base::kernel_list<kernel> all_kernels() {
    return {k_kernels, std::size(k_kernels)};
}

bool runs_here(const kernel & k) {
    return cpu_base::cpu_has(hwy::SupportedTargets(), k.highway_target, k.available);
}

}  // namespace tmx::cpu

#endif  // HWY_ONCE
