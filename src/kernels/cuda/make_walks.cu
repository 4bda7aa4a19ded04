// A warp a job: each lane takes one word of bits at a time, and the lanes before it say where its blocks stand in the
// list. Then each lane makes the walks of some items. docs/kernel_cuda.md.
#include "kernels/cuda/make_walks.h"

namespace tmx::cuda {
namespace {

constexpr int k_threads = 128;
constexpr int k_warp = 32;
constexpr unsigned k_all_lanes = 0xffffffff;

// Sum of `value` over this lane and those before it.
__device__ inline int32_t sum_up_to_lane(int32_t value, int lane) {
    for (int step = 1; step < k_warp; step *= 2) {
        const int32_t before = __shfl_up_sync(k_all_lanes, value, step);
        value += lane >= step ? before : 0;
    }
    return value;
}

__global__ void __launch_bounds__(k_threads) make_walks_kernel(const __grid_constant__ walk_jobs all) {
    const int32_t number = static_cast<int32_t>(blockIdx.x) * (k_threads / k_warp) + threadIdx.x / k_warp;
    if (number >= all.n_jobs) {
        return;
    }
    const walk_job job = all.jobs[number];
    const int lane = threadIdx.x % k_warp;
    int32_t n_blocks = 0;
    for (int32_t first = 0; first < job.n_words; first += k_warp) {
        const int32_t word = first + lane;
        uint32_t bits = word < job.n_words ? job_bits(job, all.bits, word) : 0;
        const int32_t own = __popc(bits);
        const int32_t up_to = sum_up_to_lane(own, lane);
        int32_t * next = all.first_ranks + job.list_begin + n_blocks + up_to - own;
        for (; bits != 0; bits &= bits - 1) {
            *next++ = (word * static_cast<int32_t>(k_word_bits) + __ffs(static_cast<int>(bits)) - 1) *
                      static_cast<int32_t>(k_bitmap_keys);
        }
        n_blocks += __shfl_sync(k_all_lanes, up_to, k_warp - 1);
    }
    if (all.kept != nullptr && lane == 0) {
        atomicAdd(all.kept + job.counter, static_cast<unsigned long long>(pairs_in_blocks(job.rows(), n_blocks)));
    }
    for (int32_t i = job.item_begin + lane; i < job.item_end; i += k_warp) {
        work_item & item = all.items[all.job_items[i]];
        item.walk = list_walk(item.place, seen_by(item.place, job, n_blocks), all.tile_keys);
    }
}

}  // namespace

cudaError_t make_walks(const walk_jobs & all, cudaStream_t stream) {
    constexpr int k_jobs = k_threads / k_warp;  // of a block
    make_walks_kernel<<<(all.n_jobs + k_jobs - 1) / k_jobs, k_threads, 0, stream>>>(all);
    return cudaGetLastError();
}

}  // namespace tmx::cuda
