// From how many rows on a product is worth taking, by kernel, weights and arithmetic, as bench/products measures it
// (docs/products.md). Only what was measured is here.
#include <limits>

#include "trianglemix/products.h"

namespace tmx {
namespace {

constexpr int64_t k_never = std::numeric_limits<int64_t>::max();

int64_t least_rows_in_hosts_arithmetic(weight_type type) {
    switch (type) {
        case weight_type::q8_0:
        case weight_type::q4_0:
        case weight_type::q4_1:
        case weight_type::q5_0:
        case weight_type::q5_1:
            return 64;
        case weight_type::q4_k:
        case weight_type::q5_k:
        case weight_type::q6_k:
            return 128;  // ggml's own code for these is nearly as fast
        case weight_type::f32:
        case weight_type::f16:
            return 256;
        case weight_type::bf16:
            return 128;  // the same instructions as the host's, so only what packing saves
    }
    return k_never;
}

}  // namespace

int64_t product_least_rows(std::string_view kernel, weight_type type, product_arithmetic arithmetic) noexcept {
    const bool bf16 = kernel == "avx512_bf16";
    const bool in_bf16_already = type == weight_type::bf16;
    const bool vnni = bf16 || kernel == "avx512_vnni";
    if (arithmetic == product_arithmetic::i16) {
        // Others are faster as integers of 8 bits, or in bf16.
        const bool pays = vnni && (type == weight_type::f32 || type == weight_type::f16);
        return pays ? 64 : k_never;
    }
    if (arithmetic != product_arithmetic::host || (in_bf16_already && !bf16)) {
        return k_never;
    }
    return vnni ? least_rows_in_hosts_arithmetic(type) : k_never;
}

}  // namespace tmx
