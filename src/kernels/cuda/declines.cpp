// Which calls the CUDA kernels cover, by shape alone.
#include "trianglemix/cuda_attention.h"
#include "trianglemix/kernel_features.h"

namespace tmx {

const char * cuda_declines(const attention_args & args) noexcept {
    const auto mismatch = first_mismatch(k_cuda_features, needs_of(args));
    return mismatch ? mismatch->text : nullptr;
}

}  // namespace tmx
