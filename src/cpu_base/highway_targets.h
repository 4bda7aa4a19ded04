#pragma once

// For which instruction sets Highway compiles kernels. To be included before its own headers.
//
// 16-lane vectors at most: tiles are multiples of 16 elements. SVE's length is unknown at compile time, so its
// registers cannot form the arrays of a register tile; NEON serves those CPUs. SSE4 would only add code: CPUs without
// AVX2 take SSSE3.
//
// A build of sanitizers leaves out what the machine that compiles it cannot run (cmake/options.cmake).
#ifdef TMX_WITHOUT_AVX512
#define TMX_LEFT_OUT_HERE HWY_AVX3
#else
#define TMX_LEFT_OUT_HERE 0
#endif
#define HWY_DISABLED_TARGETS \
    (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_AVX3_DL | HWY_SSE4 | TMX_LEFT_OUT_HERE)
