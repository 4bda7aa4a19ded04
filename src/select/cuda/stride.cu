#include "select/stride.h"

#include <cuda_runtime_api.h>

#include "select/methods.h"

namespace tmx {
namespace {

constexpr int k_threads = 256;

// A thread a word.
__global__ void __launch_bounds__(k_threads)
    stride_kernel(const __grid_constant__ bitmap_shape shape, int64_t stride, uint32_t * bits) {
    const int64_t at = int64_t{blockIdx.x} * k_threads + threadIdx.x;
    if (at >= shape.total_words()) {
        return;
    }
    const int64_t word = at % shape.n_words();
    const index_range rows = shape.rows_of(at / shape.n_words() % shape.n_tiles());
    bits[at] = stride_bits(stride, rows, word) | mandatory_bits(rows, word);
}

}  // namespace

status cuda_select_stride(const selection_rule & rule, const cuda_selection_call & call) {
    const auto stream = static_cast<cudaStream_t>(call.stream);
    for (const cuda_selected_rows & rows : call.rows) {
        const int64_t n_blocks = (rows.shape.total_words() + k_threads - 1) / k_threads;
        stride_kernel<<<static_cast<unsigned>(n_blocks), k_threads, 0, stream>>>(rows.shape, stride_of(rule),
                                                                                 rows.bits);
        if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) {
            return status::error(status_code::device_error, "selecting blocks: %s", cudaGetErrorString(error));
        }
    }
    return {};
}

}  // namespace tmx
