#include "cuda_device/device.h"

#include <cctype>
#include <cstring>
#include <string_view>

namespace tmx::cuda {

device_scope::device_scope(int device) {
    error_ = cudaGetDevice(&before_);
    if (error_ == cudaSuccess && before_ != device) {
        error_ = cudaSetDevice(device);
        changed_ = error_ == cudaSuccess;
    }
}
device_scope::~device_scope() {
    if (changed_) {
        cudaSetDevice(before_);
    }
}

int device_at(const char * pci_address) noexcept {
    char address[32] = {};
    const std::string_view asked(pci_address);
    const std::string_view real = asked.substr(0, asked.find("-v"));
    if (real.size() >= sizeof(address)) {
        return -1;
    }
    std::memcpy(address, real.data(), real.size());
    int device = -1;
    cudaError_t error = cudaDeviceGetByPCIBusId(&device, address);
    if (error != cudaSuccess) {
        // ggml writes the digits in small letters, CUDA in large ones. Its documents do not say whether it minds.
        for (char & c : address) {
            c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        }
        error = cudaDeviceGetByPCIBusId(&device, address);
    }
    static_cast<void>(cudaGetLastError());
    return error == cudaSuccess ? device : -1;
}

const char * name_of(architecture arch) noexcept {
    return arch == architecture::sm90a ? "sm90a" : "sm80";
}

cudaError_t read_capability(int device, compute_capability & result) noexcept {
    cudaError_t error = cudaDeviceGetAttribute(&result.major, cudaDevAttrComputeCapabilityMajor, device);
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&result.minor, cudaDevAttrComputeCapabilityMinor, device);
    }
    return error;
}

}  // namespace tmx::cuda
