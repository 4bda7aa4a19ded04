// device.h -- what tests of the CUDA kernels need of the device: one with a message when there is none, and memory
// that shows writes outside it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "trianglemix/cuda_attention.h"

namespace tmx::test {

inline void check_cuda(cudaError_t error, const char * what) {
    if (error != cudaSuccess) {
        throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
    }
}

// Empty if device 0 can run the kernels; else why not.
inline std::string no_device() {
    std::unique_ptr<cuda_context> ctx;
    const status result = cuda_context::create(0, ctx);
    return result.ok() ? "" : std::string("no NVIDIA GPU for the CUDA kernels: ") + result.message();
}

// A copy of host bytes, with poison on both sides. Starts at a multiple of 256 bytes.
class device_copy {
  public:
    device_copy(const void * host, size_t bytes) : bytes_(bytes) {
        check_cuda(cudaMalloc(&memory_, bytes + 2 * k_margin), "cudaMalloc");
        check_cuda(cudaMemset(memory_, 0xff, bytes + 2 * k_margin), "cudaMemset");
        check_cuda(cudaMemcpy(data(), host, bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
    }
    ~device_copy() { cudaFree(memory_); }
    device_copy(const device_copy &) = delete;
    device_copy & operator=(const device_copy &) = delete;

    void * data() { return static_cast<uint8_t *>(memory_) + k_margin; }

    // Copies back; false if a byte beside the data was written.
    bool fetch(void * host) {
        std::vector<uint8_t> all(bytes_ + 2 * k_margin);
        check_cuda(cudaMemcpy(all.data(), memory_, all.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
        std::memcpy(host, all.data() + k_margin, bytes_);
        for (size_t i = 0; i < k_margin; ++i) {
            if (all[i] != 0xff || all[all.size() - 1 - i] != 0xff) {
                return false;
            }
        }
        return true;
    }

  private:
    static constexpr size_t k_margin = 4096;
    void * memory_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace tmx::test
