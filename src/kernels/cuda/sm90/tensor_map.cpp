#include "kernels/cuda/sm90/tensor_map.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "kernels/cuda/sm90/tensor.h"

namespace tmx::cuda::sm90 {
namespace {

using encode_fn = decltype(&cuTensorMapEncodeTiled);

// The driver's function, found at run time: the library must load where there is no driver.
encode_fn find_encode() {
    void * function = nullptr;
    cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
#else
    const cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
    if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) {
        return nullptr;
    }
    return reinterpret_cast<encode_fn>(function);
}

bool encode(encode_fn function, const tensor & t, uint32_t box_keys, bool bf16, CUtensorMap & map) {
    // An axis of one element may have any stride; the engine wants a valid one all the same.
    const auto bytes = [&](int64_t stride, int64_t n) { return static_cast<cuuint64_t>(n > 1 ? stride : t.dim) * 2; };
    const cuuint64_t sizes[4] = {static_cast<cuuint64_t>(t.dim), static_cast<cuuint64_t>(t.n_rows),
                                 static_cast<cuuint64_t>(t.n_head), static_cast<cuuint64_t>(t.n_batch)};
    const cuuint64_t strides[3] = {bytes(t.stride_row, t.n_rows), bytes(t.stride_head, t.n_head),
                                   bytes(t.stride_batch, t.n_batch)};
    const cuuint32_t box[4] = {64, box_keys, 1, 1};
    const cuuint32_t steps[4] = {1, 1, 1, 1};
    return function(&map, bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 4,
                    const_cast<void *>(t.data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                    CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                    CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

encode_fn encoder() {
    static const encode_fn function = find_encode();
    return function;
}

}  // namespace

cudaError_t make_map(const matrix & m, uint32_t box_rows, bool bf16, CUtensorMap & map) {
    return make_map(tensor{m.data, m.n_columns, 0, 0, m.n_columns, m.n_rows, 1, 1}, box_rows, bf16, map);
}

cudaError_t make_map(const tensor & t, uint32_t box_rows, bool bf16, CUtensorMap & map) {
    const encode_fn function = encoder();
    if (function == nullptr) {
        return cudaErrorNotSupported;
    }
    return encode(function, t, box_rows, bf16, map) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t make_maps(const kernel_params & params, int32_t tile_keys, bool bf16, tensor_maps & maps) {
    const encode_fn function = encoder();
    if (function == nullptr) {
        return cudaErrorNotSupported;
    }
    const tensor k{params.k,    params.d_qk,      params.k_stride_batch, params.k_stride_head, params.k_stride_row,
                   params.n_kv, params.n_head_kv, params.n_kv_batch};
    const tensor v{params.v,    params.d_v,       params.v_stride_batch, params.v_stride_head, params.v_stride_row,
                   params.n_kv, params.n_head_kv, params.n_kv_batch};
    const auto encode_all = [&](const tensor & t, box_maps & boxes) {
        bool good = true;
        for (int32_t n = 1; good && n <= tile_keys / k_slice; ++n) {
            good = encode(function, t, static_cast<uint32_t>(n * k_slice), bf16, boxes.of_slices[n - 1]);
        }
        return good;
    };
    const bool good = encode_all(k, maps.k) && encode_all(v, maps.v);
    return good ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace tmx::cuda::sm90
