// Builds without CUDA: the probe's attention runs on the CPU.
#include "probe/probe_attention.h"

namespace tmx {

std::unique_ptr<probe_attention> make_cuda_probe_attention(const char * /*pci_address*/) {
    return nullptr;
}

}  // namespace tmx
