#include <cuda_fp16.h>

#include <limits>
#include <new>

#include "cuda_device/device.h"
#include "cuda_device/device_status.h"
#include "products/cuda/blas_library.h"
#include "products/cuda/gated_rows.h"
#include "trianglemix/cuda_feed_forward.h"

namespace tmx {
namespace {

status failed(const char * doing, cublasStatus_t error) {
    const status_code code =
        error == CUBLAS_STATUS_ALLOC_FAILED ? status_code::out_of_memory : status_code::device_error;
    return status::error(code, "%s: cuBLAS says %d", doing, static_cast<int>(error));
}

}  // namespace

struct cuda_feed_forward::state {
    ~state() {
        if (handle != nullptr) {
            const cuda::device_scope scope(device);
            blas->destroy(handle);
        }
    }

    // c [n_rows][n_out] = a [n_rows][n_in] times w [n_out][n_in] transposed, a and c without gaps, all in f16. cuBLAS
    // counts by columns. As ggml-cuda asks for it, so that cuBLAS takes the same kernel.
    cublasStatus_t multiply(const void * a, const void * w, int64_t w_stride, int64_t n_rows, int64_t n_in,
                            int64_t n_out, void * c) const {
        const __half one = 1.0f;
        const __half zero = 0.0f;
        const auto size = [](int64_t n) { return static_cast<int>(n); };
        return blas->gemm(handle, CUBLAS_OP_T, CUBLAS_OP_N, size(n_out), size(n_rows), size(n_in), &one, w, CUDA_R_16F,
                          size(w_stride), a, CUDA_R_16F, size(n_in), &zero, c, CUDA_R_16F, size(n_out),
                          CUBLAS_COMPUTE_16F, CUBLAS_GEMM_DEFAULT_TENSOR_OP);
    }

    int device = 0;
    const cuda::blas_library * blas = nullptr;
    cublasHandle_t handle = nullptr;
};

const char * feed_forward_declines(const feed_forward_args & args) noexcept {
    const auto fits = [](int64_t n) { return n > 0 && n <= std::numeric_limits<int>::max(); };
    const auto aligned = [](const void * p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
    for (const int64_t n : {args.n_in, args.n_hidden, args.n_out, args.gate_stride, args.up_stride, args.down_stride}) {
        if (!fits(n) || n % cuda::k_values_of_thread != 0) {
            return "sizes and strides of weights must be multiples of 8";
        }
    }
    if (!fits(args.n_rows) || args.n_hidden < args.n_in || args.n_hidden < args.n_out || args.out_stride % 4 != 0 ||
        args.x_stride < args.n_in || args.x_stride % 4 != 0 || !fits(args.out_stride) || args.out_stride < args.n_out ||
        args.gate_stride < args.n_in || args.up_stride < args.n_in || args.down_stride < args.n_hidden) {
        return "sizes and strides do not go together";
    }
    for (const void * p : {static_cast<const void *>(args.x), args.gate, args.up, args.down,
                           static_cast<const void *>(args.gate_rows), static_cast<const void *>(args.up_rows),
                           static_cast<const void *>(args.hidden), static_cast<const void *>(args.out)}) {
        if (p == nullptr || !aligned(p)) {
            return "pointers must be multiples of 16 bytes";
        }
    }
    if (!aligned(args.added) ||
        (args.added != nullptr && (args.added_stride < args.n_out || args.added_stride % 4 != 0))) {
        return "what is added does not go with the result";
    }
    return nullptr;
}

cuda_feed_forward::cuda_feed_forward() noexcept = default;
cuda_feed_forward::~cuda_feed_forward() = default;

status cuda_feed_forward::create(int device, std::unique_ptr<cuda_feed_forward> & made) noexcept {
    try {
        std::unique_ptr<cuda_feed_forward> fresh(new cuda_feed_forward);
        fresh->state_ = std::make_unique<state>();
        fresh->state_->device = device;
        fresh->state_->blas = cuda::find_blas();
        if (fresh->state_->blas == nullptr) {
            return status::error(status_code::unsupported, "no cuBLAS (libcublas.so.11 to .13) is found");
        }
        const cuda::device_scope scope(device);
        if (scope.error() != cudaSuccess) {
            return cuda::device_status(scope.error(), "choosing the device");
        }
        if (const cublasStatus_t error = fresh->state_->blas->create(&fresh->state_->handle);
            error != CUBLAS_STATUS_SUCCESS) {
            return failed("making a handle", error);
        }
        made = std::move(fresh);
        return {};
    } catch (const std::bad_alloc &) {
        return status::error(status_code::out_of_memory, "no memory for a feed-forward context");
    }
}

// The rows in f16 lie in the second half of gate_rows, whose first half gets the first product; the last product's
// result in that of `hidden`, whose first half it reads.
status cuda_feed_forward::forward(const feed_forward_args & args, void * stream) noexcept {
    if (const char * why = feed_forward_declines(args)) {
        return status::error(status_code::invalid_argument, "%s", why);
    }
    const cuda::device_scope scope(state_->device);
    if (scope.error() != cudaSuccess) {
        return cuda::device_status(scope.error(), "choosing the device");
    }
    const auto queue = static_cast<cudaStream_t>(stream);
    const int64_t n_values = args.n_rows * args.n_hidden;
    void * rows = static_cast<uint16_t *>(args.gate_rows) + n_values;
    void * result = static_cast<uint16_t *>(args.hidden) + n_values;
    if (const cudaError_t error = cuda::round_rows(args.x, args.x_stride, args.n_rows, args.n_in, rows, queue);
        error != cudaSuccess) {
        return cuda::device_status(error, "rounding rows");
    }
    cublasStatus_t error = state_->blas->set_stream(state_->handle, queue);
    const auto multiply = [&](const void * a, const void * w, int64_t w_stride, int64_t n_in, int64_t n_out, void * c) {
        if (error == CUBLAS_STATUS_SUCCESS) {
            error = state_->multiply(a, w, w_stride, args.n_rows, n_in, n_out, c);
        }
    };
    multiply(rows, args.gate, args.gate_stride, args.n_in, args.n_hidden, args.gate_rows);
    multiply(rows, args.up, args.up_stride, args.n_in, args.n_hidden, args.up_rows);
    if (error == CUBLAS_STATUS_SUCCESS) {
        const cudaError_t gating = cuda::gate_values(args.gate_rows, args.up_rows, n_values, args.hidden, queue);
        if (gating != cudaSuccess) {
            return cuda::device_status(gating, "gating");
        }
    }
    multiply(args.hidden, args.down, args.down_stride, args.n_hidden, args.n_out, result);
    if (error == CUBLAS_STATUS_SUCCESS) {
        const cudaError_t widening = cuda::widen_rows(result, args.n_rows, args.n_out, args.added, args.added_stride,
                                                      args.out, args.out_stride, queue);
        return widening == cudaSuccess ? status() : cuda::device_status(widening, "widening rows");
    }
    return failed("a product", error);
}

}  // namespace tmx
