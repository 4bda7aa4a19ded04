// Sums of weights along lines on the device: line_sums.cuh twice, and what lies between and behind. Slabs leave their
// parts in memory, and these are added in the slabs' order, so the bits do not depend on when a block runs.
#include "kernels/cuda/line_sums.cuh"

#include <cuda_runtime_api.h>

#include <cmath>
#include <limits>

#include "trianglemix/cuda_line_sums.h"

namespace tmx {
namespace cuda {
namespace {

template <typename C>
__global__ void __launch_bounds__(k_line_threads, C::k_blocks)
    measure_lines(const __grid_constant__ line_params params) {
    extern __shared__ __align__(128) uint8_t raw[];
    line_block<C>(params, *reinterpret_cast<line_memory<C> *>(raw)).measure();
}

template <typename C>
__global__ void __launch_bounds__(k_line_threads, C::k_blocks) add_lines(const __grid_constant__ line_params params) {
    extern __shared__ __align__(128) uint8_t raw[];
    auto & shared = *reinterpret_cast<line_sum_memory<C> *>(raw);
    line_block<C>(params, shared).add(shared);
}

constexpr int k_threads = 256;

// A warp a row of a head.
__global__ void __launch_bounds__(k_threads) find_shifts(const __grid_constant__ line_params p) {
    const int32_t number = static_cast<int32_t>(blockIdx.x * (k_threads / 32) + threadIdx.x / 32);
    const int lane = threadIdx.x % 32;
    if (number >= p.n_head * p.row_step) {
        return;
    }
    const float2 * parts = p.parts + int64_t{number} * p.n_slabs;
    float largest = -INFINITY;
    for (int32_t slab = lane; slab < p.n_slabs; slab += 32) {
        largest = fmaxf(largest, parts[slab].x);
    }
    for (int step = 16; step > 0; step /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, step));
    }
    float sum = 0;
    for (int32_t slab = lane; slab < p.n_slabs; slab += 32) {
        sum += parts[slab].y * exp2f(parts[slab].x - largest);
    }
    for (int step = 16; step > 0; step /= 2) {
        sum += __shfl_xor_sync(0xffffffff, sum, step);
    }
    if (lane == 0) {
        const bool exists = number % p.row_step < p.n_rows;
        p.shifts[number] = exists ? largest + log2f(sum * static_cast<float>(p.n_rows)) : INFINITY;
    }
}

// A thread a distance of a head: one or two slabs have a part of it.
__global__ void __launch_bounds__(k_threads) join_slashes(const __grid_constant__ line_params p) {
    const auto distance = static_cast<int32_t>(blockIdx.x * k_threads + threadIdx.x);
    if (distance >= p.n_keys) {
        return;
    }
    const int32_t behind = p.far_distance(0) - distance;
    const int32_t slab = behind / k_line_slab;
    const float * slashes = p.slashes + int64_t{blockIdx.y} * p.n_slabs * k_slab_slashes;
    float sum = 0;
    const int32_t before = behind - (slab - 1) * k_line_slab;
    if (slab > 0 && before < p.row_step - 1 + k_line_slab) {
        sum += slashes[(slab - 1) * k_slab_slashes + before];
    }
    if (slab < p.n_slabs) {
        sum += slashes[slab * k_slab_slashes + behind - slab * k_line_slab];
    }
    p.slash[int64_t{blockIdx.y} * p.n_keys + distance] = sum;
}

template <typename C>
cudaError_t launch(const line_params & p, int64_t n_head_kv, cudaStream_t stream) {
    constexpr int k_bytes = sizeof(line_sum_memory<C>);
    static_assert(k_bytes <= 99 * 1024, "what a block has on sm_86 and sm_89");
    constexpr int k_measure_bytes = sizeof(line_memory<C>);
    cudaError_t error = cudaFuncSetAttribute(add_lines<C>, cudaFuncAttributeMaxDynamicSharedMemorySize, k_bytes);
    if (error == cudaSuccess) {
        error = cudaFuncSetAttribute(measure_lines<C>, cudaFuncAttributeMaxDynamicSharedMemorySize, k_measure_bytes);
    }
    if (error != cudaSuccess) {
        return error;
    }
    const int32_t n_heads = k_line_rows / p.row_step;
    const dim3 grid(static_cast<unsigned>(p.n_slabs * ((p.group + n_heads - 1) / n_heads)),
                    static_cast<unsigned>(n_head_kv));
    measure_lines<C><<<grid, k_line_threads, k_measure_bytes, stream>>>(p);
    constexpr int k_warps = k_threads / 32;
    find_shifts<<<(p.n_head * p.row_step + k_warps - 1) / k_warps, k_threads, 0, stream>>>(p);
    add_lines<C><<<grid, k_line_threads, k_bytes, stream>>>(p);
    const dim3 distances(static_cast<unsigned>((p.n_keys + k_threads - 1) / k_threads),
                         static_cast<unsigned>(p.n_head));
    join_slashes<<<distances, k_threads, 0, stream>>>(p);
    return cudaGetLastError();
}

template <typename T>
cudaError_t launch_dim(const line_params & p, int64_t n_head_kv, cudaStream_t stream) {
    return p.d <= 64    ? launch<line_config<T, 64>>(p, n_head_kv, stream)
           : p.d <= 128 ? launch<line_config<T, 128>>(p, n_head_kv, stream)
                        : launch<line_config<T, 256>>(p, n_head_kv, stream);
}

// Offsets in the workspace.
struct line_layout {
    int64_t parts, shifts, slashes, vertical, slash, bytes;
};

int32_t row_step_of(int64_t n_rows) {
    return n_rows <= 64 ? 64 : 128;
}

int32_t slabs_of(const bitmap_shape & shape) {
    return static_cast<int32_t>((shape.ranks.end + k_line_slab - 1) / k_line_slab);
}

line_layout lay_out(const bitmap_shape & shape, int64_t n_rows) {
    line_layout layout{};
    const auto take = [&](int64_t bytes) {
        const int64_t offset = layout.bytes;
        layout.bytes += (bytes + 255) / 256 * 256;
        return offset;
    };
    const int64_t rows = shape.n_head * row_step_of(n_rows);
    const int64_t n_slabs = slabs_of(shape);
    layout.parts = take(rows * n_slabs * static_cast<int64_t>(sizeof(float2)));
    layout.shifts = take(rows * static_cast<int64_t>(sizeof(float)));
    layout.slashes = take(shape.n_head * n_slabs * k_slab_slashes * static_cast<int64_t>(sizeof(float)));
    layout.vertical = take(shape.n_head * shape.ranks.end * static_cast<int64_t>(sizeof(float)));
    layout.slash = take(shape.n_head * shape.ranks.end * static_cast<int64_t>(sizeof(float)));
    return layout;
}

line_params params_of(const attention_args & args, const cuda_selected_rows & rows, int64_t n_rows,
                      uint8_t * workspace) {
    const line_layout layout = lay_out(rows.shape, n_rows);
    const int64_t n = smaller(n_rows, rows.shape.ranks.size());
    const int64_t row = rows.row_begin + rows.shape.ranks.size() - n;
    constexpr int64_t k_element = 2;
    line_params p{};
    p.q = args.q + rows.batch * args.q_stride_batch + row * args.q_stride_row;
    p.k = static_cast<const uint8_t *>(args.k) +
          (rows.key_batch * args.k_stride_batch + rows.key_begin * args.k_stride_row) * k_element;
    p.q_stride_head = args.q_stride_head;
    p.q_stride_row = args.q_stride_row;
    p.k_stride_head = args.k_stride_head;
    p.k_stride_row = args.k_stride_row;
    p.d = static_cast<int32_t>(args.d_qk);
    p.n_keys = static_cast<int32_t>(rows.shape.ranks.end);
    p.n_rows = static_cast<int32_t>(n);
    p.row_step = row_step_of(n_rows);
    p.first_rank = static_cast<int32_t>(rows.shape.ranks.end - n);
    p.n_head = static_cast<int32_t>(args.n_head);
    p.group = static_cast<int32_t>(args.n_head / args.n_head_kv);
    p.n_slabs = slabs_of(rows.shape);
    constexpr float k_log2_e = 1.44269504088896f;
    p.scale_log2 = std::fmax(std::fabs(args.scale) * k_log2_e, std::numeric_limits<float>::min());
    p.q_sign = args.scale < 0 ? -1.0f : 1.0f;
    p.parts = reinterpret_cast<float2 *>(workspace + layout.parts);
    p.shifts = reinterpret_cast<float *>(workspace + layout.shifts);
    p.slashes = reinterpret_cast<float *>(workspace + layout.slashes);
    p.vertical = reinterpret_cast<float *>(workspace + layout.vertical);
    p.slash = reinterpret_cast<float *>(workspace + layout.slash);
    return p;
}

}  // namespace
}  // namespace cuda

int64_t cuda_line_sums_bytes(const bitmap_shape & shape, int64_t n_rows) noexcept {
    return cuda::lay_out(shape, n_rows).bytes;
}

status cuda_sum_lines(const attention_args & args, const cuda_selected_rows & rows, int64_t n_rows, void * workspace,
                      void * stream, cuda_line_sums & sums) noexcept {
    if (args.logit_softcap > 0 || args.d_qk > 256) {
        return status::error(status_code::unsupported, "no sums along lines with a softcap or of more than 256 dims");
    }
    const cuda::line_params p = cuda::params_of(args, rows, n_rows, static_cast<uint8_t *>(workspace));
    sums = {p.vertical, p.slash};
    const auto on = static_cast<cudaStream_t>(stream);
    const cudaError_t error = args.k_type == dtype::bf16 ? cuda::launch_dim<__nv_bfloat16>(p, args.n_head_kv, on)
                                                         : cuda::launch_dim<__half>(p, args.n_head_kv, on);
    return error == cudaSuccess
               ? status()
               : status::error(status_code::device_error, "adding up lines: %s", cudaGetErrorString(error));
}

}  // namespace tmx
