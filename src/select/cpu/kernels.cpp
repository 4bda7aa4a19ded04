// Compiles the steps for every instruction set and lists the kernels, best first. What is said of targets in
// kernels/cpu/kernels.cpp holds here, and so do the names.
#include "cpu_base/highway_targets.h"

#define HWY_COMPILE_ALL_ATTAINABLE
#define HWY_BROKEN_EMU128 0
#define TOOLCHAIN_MISS_SYS_AUXV_H
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "select/cpu/kernels.cpp"
#include "hwy/foreach_target.h"

#include "select/cpu/groups-inl.h"
#include "select/cpu/key_means-inl.h"

#if HWY_ONCE

#include <cstring>
#include <iterator>

#include "hwy/targets.h"
#include "select/cpu/kernel.h"

namespace tmx::select_cpu {
namespace {

using cpu_base::k_any_cpu;

#define TMX_STEPS(ns) \
    &ns::mean_key, &ns::pack_means, &ns::row_products, &ns::means_votes, &ns::pack_groups<false>, &ns::group_sums<false>
#define TMX_FAST_STEPS(ns) &ns::pack_groups<true>, &ns::group_sums<true>

constexpr kernel k_kernels[] = {
#if HWY_TARGETS & HWY_AVX3
    {"avx512_bf16", HWY_AVX3, &cpu::avx512_bf16::available, TMX_STEPS(N_AVX3), TMX_FAST_STEPS(N_AVX3)},
    {"avx512", HWY_AVX3, nullptr, TMX_STEPS(N_AVX3), nullptr, nullptr},
#endif
#if HWY_TARGETS & HWY_AVX2
    {"avx2", HWY_AVX2, nullptr, TMX_STEPS(N_AVX2), nullptr, nullptr},
#endif
#if HWY_ARCH_ARM_A64
    {"neon", k_any_cpu, nullptr, TMX_STEPS(HWY_NAMESPACE), nullptr, nullptr},
#endif
#if HWY_TARGETS & HWY_SSSE3
    {"ssse3", HWY_SSSE3, nullptr, TMX_STEPS(N_SSSE3), nullptr, nullptr},
#endif
#if HWY_TARGETS & HWY_EMU128
    {"portable", k_any_cpu, nullptr, TMX_STEPS(N_EMU128), nullptr, nullptr},
#endif
};

#undef TMX_STEPS
#undef TMX_FAST_STEPS

}  // namespace

status choose_kernel(const char * name, const kernel *& chosen) {
    const int64_t supported = hwy::SupportedTargets();
    bool exists = false;
    for (const kernel & each : k_kernels) {
        if (name != nullptr && std::strcmp(name, each.name) != 0) {
            continue;
        }
        exists = true;
        if (cpu_base::cpu_has(supported, each.highway_target, each.available)) {
            chosen = &each;
            return {};
        }
    }
    if (!exists) {
        return status::error(status_code::invalid_argument, "kernel: no kernel named \"%s\" in this build", name);
    }
    return status::error(status_code::unsupported, "kernel: this CPU cannot run %s",
                         name != nullptr ? name : "any of this build");
}

}  // namespace tmx::select_cpu

#endif  // HWY_ONCE
