#include "ceiling.h"

#include <omp.h>

#include <algorithm>
#include <string_view>

#include "timer.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace tmx::bench {
namespace {

// Twelve accumulators cover latency 4 times 2 units (and 3 units of some ARM cores) with room to spare.
constexpr int k_chains = 12;

struct loop {
    const char * name;
    double flops;               // of one round
    float (*run)(long rounds);  // the result only keeps the work from being removed
};

// A tile of k_rows x (2 vectors) of the product of two matrices in the L1 cache: k_depth * (k_rows + 2 vectors) floats.
constexpr int k_rows = 12;  // with 2 columns 24 accumulators: fits AVX-512's and NEON's 32 registers
constexpr int k_rows_of_16_registers = 6;
constexpr int k_depth = 128;

#if defined(__x86_64__)

__attribute__((target("avx512f"))) float fma_avx512(long rounds) {
    const __m512 x = _mm512_set1_ps(0.999f);
    const __m512 y = _mm512_set1_ps(0.001f);
    __m512 sums[k_chains];
    for (auto & sum : sums) {
        sum = _mm512_set1_ps(1.0f);
    }
    for (long i = 0; i < rounds; ++i) {
        for (auto & sum : sums) {
            sum = _mm512_fmadd_ps(sum, x, y);
        }
    }
    __m512 total = sums[0];
    for (const auto & sum : sums) {
        total = _mm512_add_ps(total, sum);
    }
    return _mm512_cvtss_f32(total);
}

__attribute__((target("avx512f"))) float gemm_avx512(long rounds) {
    alignas(64) float a[k_depth * k_rows];
    alignas(64) float b[k_depth * 32];
    std::fill_n(a, k_depth * k_rows, 0.5f);
    std::fill_n(b, k_depth * 32, 0.25f);
    float total = 0;
    for (long i = 0; i < rounds; ++i) {
        __m512 tile[k_rows][2];
        for (auto & row : tile) {
            row[0] = row[1] = _mm512_setzero_ps();
        }
        for (int k = 0; k < k_depth; ++k) {
            const __m512 b0 = _mm512_load_ps(b + 32 * k);
            const __m512 b1 = _mm512_load_ps(b + 32 * k + 16);
            for (int r = 0; r < k_rows; ++r) {
                const __m512 value = _mm512_set1_ps(a[k * k_rows + r]);
                tile[r][0] = _mm512_fmadd_ps(value, b0, tile[r][0]);
                tile[r][1] = _mm512_fmadd_ps(value, b1, tile[r][1]);
            }
        }
        __m512 sum = _mm512_setzero_ps();
        for (const auto & row : tile) {
            sum = _mm512_add_ps(sum, _mm512_add_ps(row[0], row[1]));
        }
        total += _mm512_cvtss_f32(sum);
        a[i % (k_depth * k_rows)] = total;  // the next round depends on this one
    }
    return total;
}

__attribute__((target("avx512f,avx512bf16"))) float dot_avx512_bf16(long rounds) {
    const __m512bh x = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3c003c00));  // a small bf16, 32 times
    __m512 sums[k_chains];
    for (auto & sum : sums) {
        sum = _mm512_set1_ps(1.0f);
    }
    for (long i = 0; i < rounds; ++i) {
        for (auto & sum : sums) {
            sum = _mm512_dpbf16_ps(sum, x, x);
        }
    }
    __m512 total = sums[0];
    for (const auto & sum : sums) {
        total = _mm512_add_ps(total, sum);
    }
    return _mm512_cvtss_f32(total);
}

__attribute__((target("avx2,fma"))) float fma_avx2(long rounds) {
    const __m256 x = _mm256_set1_ps(0.999f);
    const __m256 y = _mm256_set1_ps(0.001f);
    __m256 sums[k_chains];
    for (auto & sum : sums) {
        sum = _mm256_set1_ps(1.0f);
    }
    for (long i = 0; i < rounds; ++i) {
        for (auto & sum : sums) {
            sum = _mm256_fmadd_ps(sum, x, y);
        }
    }
    __m256 total = sums[0];
    for (const auto & sum : sums) {
        total = _mm256_add_ps(total, sum);
    }
    return _mm256_cvtss_f32(total);
}

__attribute__((target("avx2,fma"))) float gemm_avx2(long rounds) {
    alignas(32) float a[k_depth * k_rows_of_16_registers];
    alignas(32) float b[k_depth * 16];
    std::fill_n(a, k_depth * k_rows_of_16_registers, 0.5f);
    std::fill_n(b, k_depth * 16, 0.25f);
    float total = 0;
    for (long i = 0; i < rounds; ++i) {
        __m256 tile[k_rows_of_16_registers][2];
        for (auto & row : tile) {
            row[0] = row[1] = _mm256_setzero_ps();
        }
        for (int k = 0; k < k_depth; ++k) {
            const __m256 b0 = _mm256_load_ps(b + 16 * k);
            const __m256 b1 = _mm256_load_ps(b + 16 * k + 8);
            for (int r = 0; r < k_rows_of_16_registers; ++r) {
                const __m256 value = _mm256_set1_ps(a[k * k_rows_of_16_registers + r]);
                tile[r][0] = _mm256_fmadd_ps(value, b0, tile[r][0]);
                tile[r][1] = _mm256_fmadd_ps(value, b1, tile[r][1]);
            }
        }
        __m256 sum = _mm256_setzero_ps();
        for (const auto & row : tile) {
            sum = _mm256_add_ps(sum, _mm256_add_ps(row[0], row[1]));
        }
        total += _mm256_cvtss_f32(sum);
        a[i % (k_depth * k_rows_of_16_registers)] = total;
    }
    return total;
}

std::vector<loop> loops() {
    std::vector<loop> list;
    if (__builtin_cpu_supports("avx512f")) {
        list.push_back({"f32_fma", 2.0 * 16 * k_chains, fma_avx512});
        list.push_back({"f32_gemm", 2.0 * k_depth * k_rows * 32, gemm_avx512});
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        list.push_back({"f32_fma", 2.0 * 8 * k_chains, fma_avx2});
        list.push_back({"f32_gemm", 2.0 * k_depth * k_rows_of_16_registers * 16, gemm_avx2});
    }
    if (__builtin_cpu_supports("avx512bf16")) {
        list.push_back({"bf16_dot", 2.0 * 32 * k_chains, dot_avx512_bf16});
    }
    return list;
}

#elif defined(__aarch64__)

float fma_neon(long rounds) {
    const float32x4_t x = vdupq_n_f32(0.999f);
    float32x4_t sums[k_chains];
    for (auto & sum : sums) {
        sum = vdupq_n_f32(1.0f);
    }
    for (long i = 0; i < rounds; ++i) {
        for (auto & sum : sums) {
            sum = vfmaq_f32(x, sum, x);
        }
    }
    float total = 0;
    for (const auto & sum : sums) {
        total += vaddvq_f32(sum);
    }
    return total;
}

float gemm_neon(long rounds) {
    alignas(16) float a[k_depth * k_rows];
    alignas(16) float b[k_depth * 8];
    std::fill_n(a, k_depth * k_rows, 0.5f);
    std::fill_n(b, k_depth * 8, 0.25f);
    float total = 0;
    for (long i = 0; i < rounds; ++i) {
        float32x4_t tile[k_rows][2];
        for (auto & row : tile) {
            row[0] = row[1] = vdupq_n_f32(0.0f);
        }
        for (int k = 0; k < k_depth; ++k) {
            const float32x4_t b0 = vld1q_f32(b + 8 * k);
            const float32x4_t b1 = vld1q_f32(b + 8 * k + 4);
            for (int r = 0; r < k_rows; ++r) {
                tile[r][0] = vfmaq_n_f32(tile[r][0], b0, a[k * k_rows + r]);
                tile[r][1] = vfmaq_n_f32(tile[r][1], b1, a[k * k_rows + r]);
            }
        }
        float32x4_t sum = vdupq_n_f32(0.0f);
        for (const auto & row : tile) {
            sum = vaddq_f32(sum, vaddq_f32(row[0], row[1]));
        }
        total += vaddvq_f32(sum);
        a[i % (k_depth * k_rows)] = total;
    }
    return total;
}

std::vector<loop> loops() {
    return {{"f32_fma", 2.0 * 4 * k_chains, fma_neon}, {"f32_gemm", 2.0 * k_depth * k_rows * 8, gemm_neon}};
}

#else

std::vector<loop> loops() {
    return {};
}

#endif

// Sum over the threads of each one's rate by its own CPU time, all running at once: what they could do if nobody else
// used the machine.
double measure(const loop & work, int n_threads) {
    volatile float sink = 0;
    const auto rate_of = [&](long rounds, double & seconds) {
        const double begin = thread_seconds();
        const float result = work.run(rounds);
        seconds = thread_seconds() - begin;
#pragma omp critical
        sink = sink + result;
        return work.flops * static_cast<double>(rounds) / seconds;
    };
    long rounds = 1000;
    double seconds = 0;
    while (rate_of(rounds, seconds), seconds < 0.02) {
        rounds *= 2;
    }
    double best = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
        double total = 0;
#pragma omp parallel num_threads(n_threads) reduction(+ : total)
        {
            double own = 0;
            total += rate_of(rounds, own);
        }
        best = std::max(best, total);
    }
    return best * 1e-9;
}

}  // namespace

std::vector<ceiling> measure_ceilings(int n_threads) {
    std::vector<ceiling> result;
    for (const loop & work : loops()) {
        result.push_back({work.name, measure(work, n_threads)});
    }
    return result;
}

void keep_better(std::vector<ceiling> & best, const std::vector<ceiling> & again) {
    for (size_t i = 0; i < best.size() && i < again.size(); ++i) {
        best[i].gflops = std::max(best[i].gflops, again[i].gflops);
    }
}

double gflops_of(const std::vector<ceiling> & ceilings, const char * name) {
    for (const ceiling & c : ceilings) {
        if (c.name == name) {
            return c.gflops;
        }
    }
    return 0;
}

}  // namespace tmx::bench
