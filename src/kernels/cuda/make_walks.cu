// A warp a job: its lanes read a word of bits each and put its blocks into shared memory, in their order; from there
// they are written side by side. Then each lane makes the walks of some items. docs/kernel_cuda.md.
#include "kernels/cuda/make_walks.h"

namespace tmx::cuda {
namespace {

constexpr int k_threads = 128;
constexpr int k_warp = static_cast<int>(k_word_bits);
constexpr int k_warps = k_threads / k_warp;
constexpr int k_at_a_time = k_warp * k_warp;  // blocks
constexpr unsigned k_all_lanes = 0xffffffff;

// Sum of `value` over this lane and those before it.
__device__ inline int32_t sum_up_to_lane(int32_t value, int lane) {
    for (int step = 1; step < k_warp; step *= 2) {
        const int32_t before = __shfl_up_sync(k_all_lanes, value, step);
        value += lane >= step ? before : 0;
    }
    return value;
}

// Where the block with this number lies in shared memory: lanes whose words are full meet in no bank.
__device__ inline uint32_t place_of(int32_t number) {
    const auto n = static_cast<uint32_t>(number);
    return n + n / k_warp;
}

__global__ void __launch_bounds__(k_threads) make_walks_kernel(const __grid_constant__ walk_jobs all) {
    __shared__ int32_t places[k_warps][k_at_a_time + k_warp];
    const int32_t number = static_cast<int32_t>(blockIdx.x) * k_warps + threadIdx.x / k_warp;
    if (number >= all.n_jobs) {
        return;
    }
    const walk_job job = all.jobs[number];
    const int lane = threadIdx.x % k_warp;
    const tile_blocks blocks = job.blocks();
    int32_t * list = all.first_ranks + job.list_begin;
    int32_t * blocks_in_order = places[threadIdx.x / k_warp];
    const auto n_words = static_cast<int32_t>((blocks.own().end - 1) / k_word_bits + 1);  // behind these none is seen
    const auto word_of_lane = [&](int32_t first) {
        return first + lane < n_words ? job_bits(job, blocks, all.bits, first + lane) : 0;
    };
    int32_t n_blocks = 0;
    uint32_t next = word_of_lane(0);
    for (int32_t first = 0; first < n_words; first += k_warp) {
        uint32_t own = next;
        next = word_of_lane(first + k_warp);
        const int32_t up_to = sum_up_to_lane(__popc(own), lane);
        const int32_t first_block = (first + lane) * k_warp;
        for (int32_t i = up_to - 1; own != 0; --i) {  // from the last one on, as that takes an instruction to find
            const int last = k_warp - 1 - __clz(static_cast<int>(own));
            own ^= 1U << last;
            blocks_in_order[place_of(i)] = first_block + last;
        }
        __syncwarp();
        const int32_t n = __shfl_sync(k_all_lanes, up_to, k_warp - 1);
        for (int32_t i = lane; i < n; i += k_warp) {
            list[n_blocks + i] = blocks_in_order[place_of(i)] * job.block_keys;
        }
        __syncwarp();
        n_blocks += n;
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
    make_walks_kernel<<<(all.n_jobs + k_warps - 1) / k_warps, k_threads, 0, stream>>>(all);
    return cudaGetLastError();
}

}  // namespace tmx::cuda
