// Hopper's warpgroup matrix instruction, one function a shape: c (+)= a * b with c [64, n] f32 in registers, b from
// shared memory, a [64, 16] from shared memory or registers. Asynchronous: fence, issue, commit, wait.
//
// Operands in shared memory have the 128-byte swizzle that the tensor copy writes: rows of 64 elements, 8 rows an atom.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace tmx::cuda::ptx {

// Matrix descriptor: address, distance of atoms along the contiguous axis (`leading_bytes`, used by a transposed
// operand wider than 64 only) and along the other, 128-byte swizzle.
__device__ inline uint64_t matrix_descriptor(uint32_t shared, uint32_t leading_bytes) {
    constexpr uint64_t atom_bytes = 1024;
    constexpr uint64_t swizzle_128 = 1;
    return static_cast<uint64_t>((shared & 0x3ffff) >> 4) | static_cast<uint64_t>(leading_bytes >> 4) << 16 |
           (atom_bytes >> 4) << 32 | swizzle_128 << 62;
}
// The descriptor `bytes` further on.
__device__ inline uint64_t advance(uint64_t descriptor, uint32_t bytes) {
    return descriptor + (bytes >> 4);
}

__device__ inline void wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int k_pending>
__device__ inline void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(k_pending) : "memory");
}
// Keeps the compiler from moving uses of registers that an instruction in flight reads or writes.
template <int n>
__device__ inline void hold(float (&r)[n]) {
#pragma unroll
    for (int i = 0; i < n; ++i) {
        asm volatile("" : "+f"(r[i])::"memory");
    }
}

// wgmma<T, n>::ss(c, a, b, add): both operands K-major in shared memory (Q, K). rs: a in registers, b with the other
// axis contiguous (V as it lies in memory). rs_rows: a in registers, b K-major. add 0 overwrites c.
template <typename T, int n>
struct wgmma;

// The instruction lists all n / 2 registers of c, so every n has a text of its own, put together by the preprocessor:
//   TMX_WGMMA_TEXT_n      the registers of c as the instruction lists them, operands %0 and up
//   TMX_WGMMA_OPERANDS_n  the elements of c that these are, read and written
//   TMX_WGMMA_SS, _RS     the functions; i_x is the number of operand x, which comes behind those of c; other_axis of b
//   TMX_WGMMA             wgmma<T, n> of both; i0 to i5: n / 2 and the five that follow, as the preprocessor cannot add
// Each list is that of the next smaller n and the registers that n has more.
#define TMX_WGMMA_TEXT_32 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define TMX_WGMMA_TEXT_64 \
    TMX_WGMMA_TEXT_32     \
    ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define TMX_WGMMA_TEXT_96 \
    TMX_WGMMA_TEXT_64 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define TMX_WGMMA_TEXT_112 TMX_WGMMA_TEXT_96 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define TMX_WGMMA_TEXT_128 TMX_WGMMA_TEXT_112 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define TMX_WGMMA_TEXT_256                                                                         \
    TMX_WGMMA_TEXT_128                                                                             \
    ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"             \
    ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"             \
    ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
    ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

#define TMX_WGMMA_8(i)                                                                                          \
    "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), \
        "+f"(c[i + 7])
#define TMX_WGMMA_OPERANDS_32 TMX_WGMMA_8(0), TMX_WGMMA_8(8)
#define TMX_WGMMA_OPERANDS_64 TMX_WGMMA_OPERANDS_32, TMX_WGMMA_8(16), TMX_WGMMA_8(24)
#define TMX_WGMMA_OPERANDS_96 TMX_WGMMA_OPERANDS_64, TMX_WGMMA_8(32), TMX_WGMMA_8(40)
#define TMX_WGMMA_OPERANDS_112 TMX_WGMMA_OPERANDS_96, TMX_WGMMA_8(48)
#define TMX_WGMMA_OPERANDS_128 TMX_WGMMA_OPERANDS_112, TMX_WGMMA_8(56)
#define TMX_WGMMA_OPERANDS_256                                                                                   \
    TMX_WGMMA_OPERANDS_128, TMX_WGMMA_8(64), TMX_WGMMA_8(72), TMX_WGMMA_8(80), TMX_WGMMA_8(88), TMX_WGMMA_8(96), \
        TMX_WGMMA_8(104), TMX_WGMMA_8(112), TMX_WGMMA_8(120)

// clang-format off
#define TMX_WGMMA_SS(type, n, i_a, i_b, i_add)                                      \
    __device__ static void ss(float (&c)[n / 2], uint64_t a, uint64_t b, int add) { \
        asm volatile(                                                               \
            "{\n.reg .pred p;\nsetp.ne.b32 p, %" #i_add ", 0;\n"                    \
            "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." #type "." #type " "   \
            "{" TMX_WGMMA_TEXT_##n "}, %" #i_a ", %" #i_b ", p, 1, 1, 0, 0;\n}"     \
            : TMX_WGMMA_OPERANDS_##n                                                \
            : "l"(a), "l"(b), "r"(add));                                            \
    }
#define TMX_WGMMA_RS(name, other_axis, type, n, i_a0, i_a1, i_a2, i_a3, i_b, i_add)                         \
    __device__ static void name(float (&c)[n / 2], const uint32_t (&a)[4], uint64_t b, int add) {           \
        asm volatile(                                                                                       \
            "{\n.reg .pred p;\nsetp.ne.b32 p, %" #i_add ", 0;\n"                                            \
            "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." #type "." #type " {" TMX_WGMMA_TEXT_##n "}, " \
            "{%" #i_a0 ", %" #i_a1 ", %" #i_a2 ", %" #i_a3 "}, %" #i_b ", p, 1, 1, " #other_axis ";\n}"     \
            : TMX_WGMMA_OPERANDS_##n                                                                        \
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                                \
    }
#define TMX_WGMMA(T, type, n, i0, i1, i2, i3, i4, i5)             \
    template <>                                                   \
    struct wgmma<T, n> {                                          \
        TMX_WGMMA_SS(type, n, i0, i1, i2)                         \
        TMX_WGMMA_RS(rs, 1, type, n, i0, i1, i2, i3, i4, i5)      \
        TMX_WGMMA_RS(rs_rows, 0, type, n, i0, i1, i2, i3, i4, i5) \
    }
// clang-format on

TMX_WGMMA(__half, f16, 32, 16, 17, 18, 19, 20, 21);
TMX_WGMMA(__nv_bfloat16, bf16, 32, 16, 17, 18, 19, 20, 21);
TMX_WGMMA(__half, f16, 64, 32, 33, 34, 35, 36, 37);
TMX_WGMMA(__nv_bfloat16, bf16, 64, 32, 33, 34, 35, 36, 37);
TMX_WGMMA(__half, f16, 96, 48, 49, 50, 51, 52, 53);
TMX_WGMMA(__nv_bfloat16, bf16, 96, 48, 49, 50, 51, 52, 53);
TMX_WGMMA(__half, f16, 112, 56, 57, 58, 59, 60, 61);
TMX_WGMMA(__nv_bfloat16, bf16, 112, 56, 57, 58, 59, 60, 61);
TMX_WGMMA(__half, f16, 128, 64, 65, 66, 67, 68, 69);
TMX_WGMMA(__nv_bfloat16, bf16, 128, 64, 65, 66, 67, 68, 69);
TMX_WGMMA(__half, f16, 256, 128, 129, 130, 131, 132, 133);
TMX_WGMMA(__nv_bfloat16, bf16, 256, 128, 129, 130, 131, 132, 133);

}  // namespace tmx::cuda::ptx
