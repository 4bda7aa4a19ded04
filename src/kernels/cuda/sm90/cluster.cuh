// What the blocks of a cluster do together: Hopper's.
#pragma once

#include "kernels/cuda/ptx.cuh"

namespace tmx::cuda::ptx {

// All threads of the cluster; what they wrote before it is seen after it.
__device__ inline void cluster_sync() {
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
__device__ inline uint32_t cluster_rank() {
    uint32_t rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
// Arrives at the barrier that lies at this place in the shared memory of the cluster's block `rank`. Says that this
// thread's reads are over; its writes need not be seen by the other block (that would wait for those to global memory).
__device__ inline void barrier_arrive(uint64_t & barrier, uint32_t rank) {
    asm volatile(
        "{\n.reg .b32 there;\n"
        "mapa.shared::cluster.u32 there, %0, %1;\n"
        "mbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(shared_address(&barrier)),
        "r"(rank)
        : "memory");
}
// load_box() into this place of all blocks of the cluster that `ranks` has a bit for; its bytes count towards the
// barrier of each, at the same place.
__device__ inline void load_box_to_all(uint32_t shared, const void * map, uint64_t & barrier, uint16_t ranks,
                                       int32_t dim, int32_t key, int32_t head, int32_t batch) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
        "[%1, {%4, %5, %6, %7}], [%2], %3;" ::"r"(shared),
        "l"(map), "r"(shared_address(&barrier)), "h"(ranks), "r"(dim), "r"(key), "r"(head), "r"(batch)
        : "memory");
}

}  // namespace tmx::cuda::ptx
