// The inputs of a graph that shows none of its host's: an RPC server rebuilds it from what its client sends, and its
// hash set holds the nodes alone. They are found by what computes with them: masks by attention, positions by RoPE,
// cells by the write into the key cache, output rows by the rows that are taken.
//
// Nothing is kept from one evaluation to the next, since a graph that is computed again holds new data in the same
// tensors. And it is copied before the first node runs: an input's memory serves other nodes as soon as its last reader
// is done.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "glue/abi.h"
#include "glue/graph_inputs.h"

namespace tmx {

// Whether a graph's hash set shows inputs, as that of every graph does that its host built.
bool shows_inputs(const ggml_cgraph * graph);

class rebuilt_inputs {
  public:
    // Copies what tells of the graph's rows; a mask only if the host cannot read it where it is. What is not found, or
    // what there is no memory for, is missing from of(). REQUIRES nothing of the graph runs or ran.
    void keep(const ggml_cgraph * graph);

    // Of an attention node of that graph, good until the next keep().
    input_tensors of(const ggml_tensor * node) const;

  private:
    struct copy {
        const ggml_tensor * original = nullptr;
        ggml_tensor tensor{};  // its data is `bytes`
        std::unique_ptr<std::byte[]> bytes;
    };
    struct key_write {
        const ggml_tensor * cache = nullptr;
        const ggml_tensor * cells = nullptr;  // null: not known
        bool rotary = false;
    };
    struct known_mask {
        const ggml_tensor * original = nullptr;
        const ggml_tensor * readable = nullptr;
    };

    const ggml_tensor * copy_of(const ggml_tensor * input);

    std::deque<copy> copies_;
    std::vector<key_write> writes_;
    std::vector<known_mask> masks_;
    const ggml_tensor * positions_ = nullptr;
    const ggml_tensor * out_ids_ = nullptr;
};

}  // namespace tmx
