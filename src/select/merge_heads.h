// Where heads select by several rules on a GPU: from the bits of each rule to those of all heads.
#pragma once

#include <array>
#include <cstdint>

#include "trianglemix/status.h"

namespace tmx {

constexpr int32_t k_most_merged_heads = 1024;

// Bits of some heads, [n_heads][head_words], of which those of the marked heads are taken.
struct merged_heads {
    const uint32_t * from = nullptr;  // DEVICE; null: every block
    uint32_t * to = nullptr;          // DEVICE, of the same heads
    int64_t head_words = 0;
    int32_t n_heads = 0;
    int32_t group = 1;  // heads that share blocks among the marked of them; 1: none do
    std::array<uint32_t, k_most_merged_heads / 32> marked{};
};

// Enqueues it; waits for nothing.
status cuda_merge_heads(const merged_heads & heads, void * stream);

}  // namespace tmx
