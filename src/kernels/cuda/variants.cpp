// The table of compiled kernels.
#include "kernels/cuda/context.h"

namespace tmx::cuda {

#include "variants.inc"

std::span<const kernel_variant> variants_of(architecture arch) {
    return arch == architecture::sm90a ? std::span<const kernel_variant>(k_sm90a)
                                       : std::span<const kernel_variant>(k_sm80);
}

}  // namespace tmx::cuda
