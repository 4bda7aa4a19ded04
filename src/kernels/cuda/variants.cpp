// The table of compiled kernels.
#include <iterator>

#include "kernels/cuda/context.h"
#include "trianglemix/kernel_features.h"

namespace tmx::cuda {

#include "variants.inc"

static_assert(std::rbegin(k_sm80)->dim == k_cuda_features.dims.most &&
                  std::rbegin(k_sm90a)->dim == k_cuda_features.dims.most,
              "the largest head dimension that the table of features promises");

std::span<const kernel_variant> variants_of(architecture arch) {
    return arch == architecture::sm90a ? std::span<const kernel_variant>(k_sm90a)
                                       : std::span<const kernel_variant>(k_sm80);
}

}  // namespace tmx::cuda
