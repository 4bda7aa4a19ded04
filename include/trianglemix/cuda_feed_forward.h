// trianglemix/cuda_feed_forward.h -- a layer's gated feed-forward block (SwiGLU; Shazeer 2020, arXiv:2002.05202) of a
// prompt's rows on an NVIDIA GPU, for weights in f16:
//
//   out = (silu(x G^T) * (x U^T)) D^T + added        silu(a) = a / (1 + e^-a)
//
// x and out are f32. Products are cuBLAS's with sums in f16, and x, the results and what the last one multiplies are
// rounded to f16, as in ggml-cuda with f16 weights: with the same version of cuBLAS the same numbers. What ggml-cuda
// computes node by node, with seven conversions from and to f32 between, is three products and three small kernels
// here, which move less than a third of the bytes that it moves beside the products.
//
// cuBLAS is what the process has already, as one with ggml-cuda does; else the system's is opened. In builds without
// CUDA (TMX_CUDA=OFF) this does not exist.
#pragma once

#include <cstdint>
#include <memory>

#include "trianglemix/status.h"

namespace tmx {

// Strides in elements; elements of a row lie side by side. All pointers are DEVICE memory, multiples of 16 bytes.
struct feed_forward_args {
    int64_t n_rows = 0;    // at least 1
    int64_t n_in = 0;      // of this and the next two: multiples of 8, at least 8
    int64_t n_hidden = 0;  // at least n_in
    int64_t n_out = 0;     // at most n_hidden

    const float * x = nullptr;  // [n_rows][n_in]
    int64_t x_stride = 0;       // a multiple of 4

    const void * gate = nullptr;  // f16 [n_hidden][n_in]
    const void * up = nullptr;    // f16 [n_hidden][n_in]
    const void * down = nullptr;  // f16 [n_out][n_hidden]
    int64_t gate_stride = 0;      // this and the next two: multiples of 8
    int64_t up_stride = 0;
    int64_t down_stride = 0;

    // Memory to work in, whose contents are lost: where the graph has x G^T, x U^T and what D multiplies, in f32 and
    // without gaps. None of it may overlap x, the first two not each other, and `hidden` not out.
    void * gate_rows = nullptr;  // n_rows * n_hidden * 4 bytes
    void * up_rows = nullptr;    // n_rows * n_hidden * 2 bytes
    void * hidden = nullptr;     // n_rows * n_hidden * 4 bytes; may be gate_rows, or up_rows if that has as many

    // What is added to the result, in f32: the layer's input, say. Null: nothing is. May be out.
    const float * added = nullptr;  // [n_rows][n_out]
    int64_t added_stride = 0;       // a multiple of 4

    float * out = nullptr;  // [n_rows][n_out], a multiple of 16 bytes apart
    int64_t out_stride = 0;

    // Of the products.
    double flops() const noexcept {
        return 2.0 * static_cast<double>(n_rows) * static_cast<double>(n_hidden) *
               static_cast<double>(2 * n_in + n_out);
    }
};

// Why it cannot be computed, as text that lives forever; null: it can. Looks at everything but what lies in memory.
const char * feed_forward_declines(const feed_forward_args & args) noexcept;

// What one thread drives one device with. All calls must use one stream, or streams that the caller orders one after
// the other.
//
// THREADS  One call at a time.
class cuda_feed_forward {
  public:
    // Makes a handle of cuBLAS, which takes some 32 MiB of the device's memory.
    // ERRORS  unsupported: no cuBLAS is found. out_of_memory, device_error.
    static status create(int device, std::unique_ptr<cuda_feed_forward> & made) noexcept;
    ~cuda_feed_forward();  // waits until the device is idle
    cuda_feed_forward(const cuda_feed_forward &) = delete;
    cuda_feed_forward & operator=(const cuda_feed_forward &) = delete;

    // Enqueues the block; waits for nothing. `stream`: a cudaStream_t. The same arguments give the same bits.
    // ERRORS  invalid_argument: feed_forward_declines(). device_error: what is in out and the memory to work in is
    //         undefined then.
    status forward(const feed_forward_args & args, void * stream) noexcept;

  private:
    cuda_feed_forward() noexcept;
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace tmx
