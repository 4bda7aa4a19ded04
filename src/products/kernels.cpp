// Compiles the steps for every instruction set and lists the kernels, best first. What is said of targets in
// kernels/cpu/kernels.cpp holds here.
#include "cpu_base/highway_targets.h"

#define HWY_COMPILE_ALL_ATTAINABLE
// gcc's bug 106322 (see there) is about products of 32-bit integers that keep their upper halves; ours keep the lower.
#define HWY_BROKEN_EMU128 0
#define TOOLCHAIN_MISS_SYS_AUXV_H
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "products/kernels.cpp"
#include "hwy/foreach_target.h"

#include "products/floats-inl.h"
#include "products/norms-inl.h"
#include "products/pack-inl.h"
#include "products/pairs-inl.h"
#include "products/pairs_avx512_bf16.h"
#include "products/pairs_avx512_vnni.h"
#include "products/quads_avx512_vnni.h"
#include "products/round-inl.h"
#include "products/round_avx512_vnni.h"
#include "products/round_i16-inl.h"

#if HWY_ONCE

#include <cstring>
#include <iterator>

#include "hwy/targets.h"

namespace tmx::products {
namespace {

using cpu_base::k_any_cpu;

// Forms of panel that are made of Highway's portable operations.
#define TMX_PORTABLE_STEPS(ns)                                                                                        \
    {ns::k_pair_width, 2, false, &ns::round_rows, &ns::pack_panel<ns::pairs, ns::k_pair_width>, &ns::multiply_pairs}, \
        TMX_FLOAT_STEPS(ns), {}, {}, &ns::norm_row
#define TMX_FLOAT_STEPS(ns)                                                                                 \
    {                                                                                                       \
        ns::k_float_width, 4, false, &ns::round_float_rows, &ns::pack_panel<ns::floats, ns::k_float_width>, \
            &ns::multiply_floats                                                                            \
    }

constexpr kernel k_kernels[] = {
#if HWY_TARGETS & HWY_AVX3
#define TMX_QUAD_STEPS                                                                             \
    {                                                                                              \
        avx512_vnni::k_width, 1, true, &avx512_vnni::round_rows,                                   \
            &N_AVX3::pack_panel<N_AVX3::quads, avx512_vnni::k_width>, &avx512_vnni::multiply_quads \
    }
#define TMX_I16_STEPS                                                                                  \
    {                                                                                                  \
        avx512_vnni::k_width, 2, false, &N_AVX3::round_i16_rows,                                       \
            &N_AVX3::pack_panel<N_AVX3::i16_pairs, avx512_vnni::k_width>, &avx512_vnni::multiply_pairs \
    }
    {"avx512_bf16",
     HWY_AVX3,
     &avx512_bf16::available,
     TMX_QUAD_STEPS,
     TMX_FLOAT_STEPS(N_AVX3),
     {avx512_bf16::k_width, 2, false, &N_AVX3::round_bf16_rows,
      &N_AVX3::pack_panel<N_AVX3::bf16_pairs, avx512_bf16::k_width>, &avx512_bf16::multiply_pairs},
     TMX_I16_STEPS,
     &N_AVX3::norm_row},
    {"avx512_vnni",
     HWY_AVX3,
     &avx512_vnni::available,
     TMX_QUAD_STEPS,
     TMX_FLOAT_STEPS(N_AVX3),
     {},
     TMX_I16_STEPS,
     &N_AVX3::norm_row},
    {"avx512", HWY_AVX3, nullptr, TMX_PORTABLE_STEPS(N_AVX3)},
#endif
#if HWY_TARGETS & HWY_AVX2
    {"avx2", HWY_AVX2, nullptr, TMX_PORTABLE_STEPS(N_AVX2)},
#endif
#if HWY_ARCH_ARM_A64
    {"neon", k_any_cpu, nullptr, TMX_PORTABLE_STEPS(HWY_NAMESPACE)},
#endif
#if HWY_TARGETS & HWY_SSSE3
    {"ssse3", HWY_SSSE3, nullptr, TMX_PORTABLE_STEPS(N_SSSE3)},
#endif
#if HWY_TARGETS & HWY_EMU128
    {"portable", k_any_cpu, nullptr, TMX_PORTABLE_STEPS(N_EMU128)},
#endif
};

}  // namespace

cpu_base::kernel_list<kernel> all_kernels() {
    return {k_kernels, std::size(k_kernels)};
}

bool runs_here(const kernel & k) {
    // Asked once: a virtual machine may take long to answer.
    static const int64_t targets = hwy::SupportedTargets();
    return cpu_base::cpu_has(targets, k.highway_target, k.available);
}

status choose_kernel(const char * name, const kernel ** chosen) noexcept {
    for (const kernel & k : all_kernels()) {
        const bool named = name != nullptr && std::strcmp(name, k.name) == 0;
        if (named && !runs_here(k)) {
            return status::error(status_code::unsupported, "kernel: this CPU cannot run \"%s\"", name);
        }
        if (named || (name == nullptr && runs_here(k))) {
            *chosen = &k;
            return {};
        }
    }
    return name != nullptr
               ? status::error(status_code::invalid_argument, "kernel: no kernel named \"%s\" in this build", name)
               : status::error(status_code::unsupported, "kernel: none for this CPU");
}

}  // namespace tmx::products

#endif  // HWY_ONCE
