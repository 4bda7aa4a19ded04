// One PTX instruction, one named function: what both kernels use. See wgmma.cuh for Hopper's matrix instruction.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace tmx::cuda::ptx {

__device__ inline uint32_t shared_address(const void * pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ inline float exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ inline float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Two values as 16-bit floats, the first in the lower half.
template <typename T>
__device__ inline uint32_t pack(float low, float high);
template <>
__device__ inline uint32_t pack<__half>(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
template <>
__device__ inline uint32_t pack<__nv_bfloat16>(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

// Barrier of some of the block's warps; id 0 is __syncthreads().
__device__ inline void named_sync(int id, int n_threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(n_threads) : "memory");
}
__device__ inline void named_arrive(int id, int n_threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(n_threads) : "memory");
}

// Whether `value` is true for any of these threads; a barrier of them, too.
__device__ inline bool named_any(int id, int n_threads, bool value) {
    int any;
    asm volatile(
        "{\n"
        ".reg .pred in, out;\n"
        "setp.ne.s32 in, %3, 0;\n"
        "barrier.cta.red.or.pred out, %1, %2, in;\n"
        "selp.s32 %0, 1, 0, out;\n"
        "}\n"
        : "=r"(any)
        : "r"(id), "r"(n_threads), "r"(static_cast<int>(value))
        : "memory");
    return any != 0;
}

// --- cp.async (sm_80) ---

// 16 bytes from global to shared memory; zeros if `valid` is false (the source is then not read).
__device__ inline void copy_16(uint32_t shared, const void * global, bool valid) {
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes));
}
__device__ inline void copy_commit() {
    asm volatile("cp.async.commit_group;");
}
template <int k_pending>
__device__ inline void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(k_pending) : "memory");
}

// --- ldmatrix and mma.sync (sm_80) ---

__device__ inline void load_matrices(uint32_t (&r)[4], uint32_t shared) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared));
}
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], uint32_t shared) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared));
}

// c += a * b: 16 x 8 += 16 x 16 times 16 x 8.
template <typename T>
__device__ inline void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template <>
__device__ inline void mma<__half>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ inline void mma<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// --- mbarriers and the bulk tensor copy (sm_90) ---

__device__ inline void barrier_init(uint64_t & barrier, uint32_t n_arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(n_arrivals) : "memory");
}
__device__ inline void barrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void barrier_arrive(uint64_t & barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
}
__device__ inline void barrier_arrive_expect(uint64_t & barrier, uint32_t n_bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)), "r"(n_bytes)
                 : "memory");
}
__device__ inline bool barrier_try_wait(uint64_t & barrier, uint32_t parity) {
    uint32_t done;
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(shared_address(&barrier)), "r"(parity)
        : "memory");
    return done != 0;
}
__device__ inline void barrier_wait(uint64_t & barrier, uint32_t parity) {
    while (!barrier_try_wait(barrier, parity)) {
    }
}

// Ordinary writes to shared memory before it are seen by the copy engine and by wgmma after it.
__device__ inline void fence_async_proxy() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ inline void prefetch_tensor_map(const void * map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// Some bytes of global memory towards the L2 cache. REQUIRES multiples of 16, address and number.
__device__ inline void fetch_to_l2(const void * from, int32_t n_bytes) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(n_bytes) : "memory");
}

// A box of a [batch, head, key, dim] tensor into shared memory; its bytes count towards `barrier`.
__device__ inline void load_box(uint32_t shared, const void * map, uint64_t & barrier, int32_t dim, int32_t key,
                                int32_t head, int32_t batch) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, "
        "%6}], "
        "[%2];" ::"r"(shared),
        "l"(map), "r"(shared_address(&barrier)), "r"(dim), "r"(key), "r"(head), "r"(batch)
        : "memory");
}

// Asks for the 128 bytes around an address to be in the L2 cache.
__device__ inline void prefetch_to_l2(const void * global) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(global));
}

// --- kernels of a stream that overlap (sm_90) ---

// Waits until the kernels that this one may overlap with have ended and what they wrote is seen. Returns at once in a
// kernel that was launched without the attribute for it.
__device__ inline void wait_for_earlier_kernels() {
    asm volatile("griddepcontrol.wait;" ::: "memory");
}
// Once all blocks have said so, the stream's next kernel may start where there is room, if it was launched to.
__device__ inline void let_next_kernel_start() {
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

// --- registers of a warpgroup (sm_90) ---

template <int k_registers>
__device__ inline void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(k_registers));
}
template <int k_registers>
__device__ inline void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(k_registers));
}

}  // namespace tmx::cuda::ptx
