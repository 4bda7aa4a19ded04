// ceiling.h -- what this CPU can do at most, measured in the same process: the denominators of "share of ceiling".
#pragma once

#include <string>
#include <vector>

namespace tmx::bench {

struct ceiling {
    std::string name;
    double gflops = 0;  // of all threads together, an FMA as two; a bf16 dot product as two a pair
};

// f32_fma    fused multiply-adds on registers only: the arithmetic peak
// f32_gemm   a register tile of a matrix product with both operands in the L1 cache: what a kernel can hope for
// bf16_dot   bf16 dot products on registers only; absent if the CPU has none
// Each runs for about 0.15 s on every thread, timed by the threads' own CPU clocks.
std::vector<ceiling> measure_ceilings(int n_threads);

// The better of two measurements of the same ceilings: on a shared machine either may have been disturbed.
void keep_better(std::vector<ceiling> & best, const std::vector<ceiling> & again);

// Its figure, or 0 if it was not measured.
double gflops_of(const std::vector<ceiling> & ceilings, const char * name);

}  // namespace tmx::bench
