// Finding one's way among a graph's tensors: visiting all of them, and what names and operations tell of keys.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "glue/abi.h"

namespace tmx {

// Every graph view shares the whole graph's hash set, so this shows all tensors even of a split that holds one node.
template <class Visit>
void for_each_tensor(const ggml_cgraph * graph, Visit visit) {
    const ggml_hash_set & set = graph->visited_hash_set;
    if (set.keys == nullptr || set.used == nullptr) {
        return;
    }
    constexpr size_t k_word = sizeof(ggml_bitset_t) * 8;
    for (size_t word = 0; word * k_word < set.size; ++word) {
        for (ggml_bitset_t bits = set.used[word]; bits != 0; bits &= bits - 1) {
            visit(set.keys[word * k_word + static_cast<size_t>(std::countr_zero(bits))]);
        }
    }
}

// A graph of the nodes [begin, end) of another one, which must outlive it. (ggml's own function for it is not exported
// by every version.)
ggml_cgraph nodes_of(ggml_cgraph * graph, int begin, int end);

// The view of a key cache (a tensor named cache_k_l<layer>) that a node's keys are, or that they were copied or
// converted from: llama.cpp casts f32 keys to f16. Null if there is none.
const ggml_tensor * cached_keys(const ggml_tensor * k);

// That cache; null if there is none.
const ggml_tensor * key_cache(const ggml_tensor * k);

// Its layer; -1 if there is none.
int32_t layer_of_keys(const ggml_tensor * k);

// Whether a tensor is what a SET_ROWS of keys leaves: a view of such a cache.
bool writes_keys(const ggml_tensor * tensor);

// Whether RoPE comes between a tensor and the product with a layer's weights that it was made by: reshapes,
// concatenations with parts that are not rotated, and the product that spreads outliers of quantised caches may follow.
bool went_through_rope(const ggml_tensor * tensor, int steps = 8);

// A tensor that must be the only one of its kind; a second one makes it unusable.
class sole_tensor {
  public:
    void offer(const ggml_tensor * tensor) {
        ambiguous_ = ambiguous_ || (found_ != nullptr && found_ != tensor);
        found_ = tensor;
    }
    const ggml_tensor * get() const { return ambiguous_ ? nullptr : found_; }
    bool any() const { return found_ != nullptr; }

  private:
    const ggml_tensor * found_ = nullptr;
    bool ambiguous_ = false;
};

}  // namespace tmx
