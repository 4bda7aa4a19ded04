// Joins the partial results of items that were split over their keys, always in the order of their parts.
#include "kernels/cuda/combine.h"
#include "kernels/cuda/results.cuh"

namespace tmx::cuda {
namespace {

constexpr int k_threads = 128;
constexpr int k_block_rows = 8;  // packed rows of a block, 16 threads each

__global__ void __launch_bounds__(k_threads)
    combine_kernel(const __grid_constant__ kernel_params params, const combine_item * combines) {
    constexpr int k_row_threads = k_threads / k_block_rows;
    const combine_item combine = combines[blockIdx.x];
    const item_place & place = params.items[combine.item].place;
    const int row = blockIdx.y * k_block_rows + threadIdx.x / k_row_threads;
    if (row >= place.packed_rows()) {
        return;
    }
    const int64_t first = int64_t{combine.first_partial} * k_item_rows + row;
    float maximum = -INFINITY;
    for (int part = 0; part < combine.n_parts; ++part) {
        maximum = fmaxf(maximum, params.partial.scales[first + int64_t{part} * k_item_rows].x);
    }
    const packed_row at = unpack(place, row);
    const int64_t out_row = place.row_begin + at.position;
    const int64_t head = place.head_begin + at.head;
    const float base = maximum == -INFINITY ? 0.0f : maximum;
    float sum = 0;
    for (int part = 0; part < combine.n_parts; ++part) {
        const float2 scale = params.partial.scales[first + int64_t{part} * k_item_rows];
        sum += ptx::exp2(scale.x - base) * scale.y;
    }
    // The parts know nothing of it: it joins once, here.
    joined_row whole{maximum, sum, 1.0f};
    if (params.sink_logit != nullptr) {
        whole = join_sink(maximum, sum, __ldg(params.sink_logit + head));
    }
    const float factor = whole.sum > 0 ? whole.shrink / whole.sum : 0.0f;
    float * target = params.out + place.batch * params.out_stride_batch + out_row * params.out_stride_row +
                     head * params.out_stride_head;
    for (int dim = threadIdx.x % k_row_threads; dim < params.d_v; dim += k_row_threads) {
        float total = 0;
        for (int part = 0; part < combine.n_parts; ++part) {
            const int64_t slot = first + int64_t{part} * k_item_rows;
            total += ptx::exp2(params.partial.scales[slot].x - base) *
                     params.partial.sums[slot * params.partial.width + dim];
        }
        target[dim] = total * factor;
    }
    if (params.lse != nullptr && threadIdx.x % k_row_threads == 0) {
        params.lse[(int64_t{place.batch} * params.n_head + head) * params.n_q + out_row] =
            natural_lse(whole.maximum, whole.sum);
    }
}

}  // namespace

cudaError_t combine(const kernel_params & params, const combine_item * combines, int32_t n_combines,
                    cudaStream_t stream) {
    const dim3 grid(n_combines, k_item_rows / k_block_rows);
    combine_kernel<<<grid, k_threads, 0, stream>>>(params, combines);
    return cudaGetLastError();
}

}  // namespace tmx::cuda
