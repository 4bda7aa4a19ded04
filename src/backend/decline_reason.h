// Why the CPU device does not claim an attention node.
#pragma once

#include <cstdint>

namespace tmx {

// Why a node is not claimed, so that llama.cpp computes it. The names appear in statistics and docs/backend.md.
enum class decline_reason : uint8_t {
    disabled,  // switched off at run time
    rows,      // fewer query rows than TRIANGLEMIX_MIN_ROWS
    types,     // queries not f32, or keys or values of a type the kernels do not read
    dims,      // head dimensions not multiples of 16 in 16..256
    heads,     // query heads no multiple of key heads, or K and V differ in heads, keys or streams
    layout,    // rows not contiguous, or strides not whole elements
    mask,      // not f16, too small for the node, or broadcast in a way the kernels do not know
    extras,    // sink logits not one f32 a head, or a negative softcap
    no_flash,  // attention of a prompt as separate products and softmax: the host has flash attention off
};
constexpr int k_decline_reasons = 9;
const char * to_string(decline_reason reason);

}  // namespace tmx
