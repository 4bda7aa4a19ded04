// The inputs of a graph that shows none of its host's: an RPC server rebuilds it from what its client sends, and its
// hash set holds the nodes alone. They are found by what computes with them: masks by attention, positions by RoPE,
// cells by the write into the key cache, output rows by the rows that are taken.
//
// They are copied before the first node runs: an input's memory serves other nodes as soon as its last reader is done.
// A graph that is computed again holds new data in the same tensors, so a copy is good for as long as the host writes no
// input of its buffer (buffers/input_writes.h). That is what makes parts of one evaluation known as such: a tensor split
// has its devices compute a graph part by part, none of which shows that there are others.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "glue/abi.h"
#include "glue/graph_inputs.h"

namespace tmx {

// Whether a graph's hash set shows inputs, as that of every graph does that its host built.
bool shows_inputs(const ggml_cgraph * graph);

class rebuilt_inputs {
  public:
    // Copies what tells of the graph's rows; a mask only if the host cannot read it where it is. What is not found, or
    // what there is no memory for, is missing from of(). `wait` is called before memory is read that only the device
    // may know. True: nothing that was copied before has been written since, so if this graph is a part of a larger one,
    // then the last one was a part of the same evaluation. REQUIRES nothing of the graph runs or ran.
    bool keep(const ggml_cgraph * graph, const std::function<void()> & wait);

    // Of an attention node of that graph, good until the next keep().
    input_tensors of(const ggml_tensor * node) const;

  private:
    struct copy {
        const ggml_tensor * original = nullptr;
        ggml_backend_buffer_t buffer = nullptr;
        uint64_t n_writes = 0;   // input_writes() of the buffer; 0: not known
        ggml_tensor readable{};  // its data is `bytes`
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

    bool still_good() const;
    const ggml_tensor * copy_of(const ggml_tensor * input);
    const ggml_tensor * output_ids_beside(const ggml_tensor * mask);

    const std::function<void()> * wait_ = nullptr;  // during keep()
    std::deque<copy> copies_;
    std::vector<key_write> writes_;
    std::vector<known_mask> masks_;
    const ggml_tensor * positions_ = nullptr;
    const ggml_tensor * out_ids_ = nullptr;
    std::optional<ggml_tensor> laid_out_;  // output rows that the graph's buffer tells of
};

}  // namespace tmx
