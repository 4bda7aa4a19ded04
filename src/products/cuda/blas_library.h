// cuBLAS, found at run time: a machine without a GPU has none, and a process that has a CUDA backend has one already,
// of whatever version that backend needs.
#pragma once

#include <cublas_v2.h>

namespace tmx::cuda {

// The functions used here are the same in all versions since 11.
struct blas_library {
    // cublasGemmEx(): the header has an overload of it.
    using gemm_function = cublasStatus_t(cublasHandle_t handle, cublasOperation_t transpose_a,
                                         cublasOperation_t transpose_b, int m, int n, int k, const void * alpha,
                                         const void * a, cudaDataType_t a_type, int lda, const void * b,
                                         cudaDataType_t b_type, int ldb, const void * beta, void * c,
                                         cudaDataType_t c_type, int ldc, cublasComputeType_t compute,
                                         cublasGemmAlgo_t algorithm);

    decltype(&cublasCreate_v2) create = nullptr;
    decltype(&cublasDestroy_v2) destroy = nullptr;
    decltype(&cublasSetStream_v2) set_stream = nullptr;
    gemm_function * gemm = nullptr;

    bool complete() const {
        return create != nullptr && destroy != nullptr && set_stream != nullptr && gemm != nullptr;
    }
};

// Looked for once; null: there is none.
const blas_library * find_blas() noexcept;

}  // namespace tmx::cuda
