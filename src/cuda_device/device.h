// cuda_device/device.h -- NVIDIA GPUs as the CUDA runtime numbers them: which one an address means, what runs on it,
// which one is current. For all code that drives one; the runtime is linked in statically.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace tmx::cuda {

// Makes `device` current for a scope. After an error what was current still is.
class device_scope {
  public:
    explicit device_scope(int device);
    ~device_scope();
    device_scope(const device_scope &) = delete;
    device_scope & operator=(const device_scope &) = delete;
    cudaError_t error() const { return error_; }

  private:
    int before_ = -1;
    bool changed_ = false;
    cudaError_t error_ = cudaSuccess;
};

// The device at a PCI address as ggml names it: "0000:1b:00.0", or "0000:1b:00.0-v1" for one of several that ggml makes
// of a device. -1: CUDA has none there.
int device_at(const char * pci_address) noexcept;

// What kernels are compiled for: sm90a runs on Hopper only, sm80 on everything since Ampere.
enum class architecture : uint8_t { sm80, sm90a };
const char * name_of(architecture arch) noexcept;

struct compute_capability {
    int major = 0;
    int minor = 0;

    bool covered() const noexcept { return major >= 8; }
    // The best that runs there. REQUIRES covered().
    architecture best() const noexcept { return major == 9 && minor == 0 ? architecture::sm90a : architecture::sm80; }
};

// Makes no CUDA context on the device, which would take memory there.
cudaError_t read_capability(int device, compute_capability & result) noexcept;

}  // namespace tmx::cuda
