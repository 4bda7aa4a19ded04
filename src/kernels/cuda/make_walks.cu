// A warp a job: its lanes read 32 words of bits at a time, then write the blocks of one word after the other, side by
// side. Then each lane makes the walks of some items. docs/kernel_cuda.md.
#include "kernels/cuda/make_walks.h"

namespace tmx::cuda {
namespace {

constexpr int k_threads = 128;
constexpr int k_warp = static_cast<int>(k_word_bits);
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
    const tile_blocks blocks = job.blocks();
    int32_t * list = all.first_ranks + job.list_begin;
    const auto n_words = static_cast<int32_t>((blocks.own().end - 1) / k_word_bits + 1);  // behind these none is seen
    int32_t n_blocks = 0;
    for (int32_t first = 0; first < n_words; first += k_warp) {
        const uint32_t own = first + lane < n_words ? job_bits(job, blocks, all.bits, first + lane) : 0;
        const int32_t up_to = n_blocks + sum_up_to_lane(__popc(own), lane);
        const auto end = static_cast<int32_t>(smaller(n_words - first, k_warp));
#pragma unroll 8
        for (int32_t word = 0; word < end; ++word) {
            const uint32_t bits = __shfl_sync(k_all_lanes, own, word);
            const int32_t behind = __shfl_sync(k_all_lanes, up_to, word);
            if ((bits >> lane & 1) != 0) {
                list[behind - __popc(bits >> lane)] = ((first + word) * k_warp + lane) * job.block_keys;
            }
        }
        n_blocks = __shfl_sync(k_all_lanes, up_to, k_warp - 1);
    }
    if (all.kept != nullptr && lane == 0) {
        atomicAdd(all.kept + job.counter,
                  static_cast<unsigned long long>(pairs_in_blocks(job.rows(), n_blocks, job.block_keys)));
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
