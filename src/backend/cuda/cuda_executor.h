// The executor of NVIDIA GPUs. The CUDA runtime is linked in statically; its streams and events are the driver's, so
// they order with those of ggml's own copy of the runtime. Devices are numbered as it numbers them.
#pragma once

#include <memory>
#include <string>

#include "backend/cuda/attention_executor.h"

namespace tmx {

// The device at a PCI address as ggml names it; -1: CUDA has none there.
int cuda_device_at(const char * pci_address) noexcept;

// "" and the kernel's name, or why no kernel runs there. Makes no CUDA context: nobody may come to use the GPU, and a
// context takes its memory.
std::string cuda_problem_of(int device, std::string & kernel);

// Whether that is the host's memory, pinned for CUDA.
bool cuda_is_pinned(int device, const void * data) noexcept;

status make_cuda_executor(int device, std::unique_ptr<attention_executor> & executor);

}  // namespace tmx
