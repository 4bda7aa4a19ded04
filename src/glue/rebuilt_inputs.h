// The inputs of a graph as its device has them, found by what computes with them: masks by attention, positions by
// RoPE, cells by the write into the key cache, output rows by the rows that are taken. So no name is needed, and none
// of the host's tensors: an RPC server rebuilds a graph from what its client sends, and its hash set holds the nodes
// alone; and llama.cpp gives the masks of full and of windowed layers one name.
//
// They are copied before the first node runs: an input's memory serves other nodes as soon as its last reader is done.
// A graph that is computed again holds new data in the same tensors, so a copy is good until the host writes the input
// again (buffers/input_writes.h). That is what makes parts of one evaluation known as such: a tensor split has its
// devices compute a graph part by part, none of which shows that there are others.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "glue/abi.h"
#include "glue/buffers/far_rows.h"
#include "glue/graph_inputs.h"

namespace tmx {

// Whether a graph's hash set shows inputs, as that of every graph does that its host built.
bool shows_inputs(const ggml_cgraph * graph);

// How inputs in a device's memory are read.
struct input_device {
    std::function<void()> wait;  // called before memory is read that the device may still have to write
    rows_comparer compare;       // null: masks are copied whole
};

class rebuilt_inputs {
  public:
    // Copies what tells of the graph's rows; of a mask that the host cannot read where it is, what tells it
    // (far_rows.h): all of it where it is small, or the device cannot say. What is not found, or what there is no
    // memory for, is missing from of(). True: something of it was copied before and has not been written since, so if
    // this graph is a part of a larger one, then the last one was a part of the same evaluation. REQUIRES nothing of
    // the graph runs or ran.
    bool keep(const ggml_cgraph * graph, const input_device & device);

    // Of an attention node of that graph, good until the next keep().
    input_tensors of(const ggml_tensor * node) const;

  private:
    struct copy {
        ggml_tensor original{};
        uint64_t last_write = 0;                // of the original, when it was copied; 0: not known
        std::unique_ptr<ggml_tensor> readable;  // its data is `bytes`
        std::unique_ptr<std::byte[]> bytes;
        std::unique_ptr<far_rows> far;  // of a mask; then it has no data
    };
    struct key_write {
        const ggml_tensor * cache = nullptr;
        const ggml_tensor * cells = nullptr;  // null: not known
        bool rotary = false;
    };
    struct known_mask {
        const ggml_tensor * node = nullptr;  // one with that mask
        const ggml_tensor * readable = nullptr;
        far_rows * far = nullptr;
    };

    void drop_rewritten();
    const copy * copy_of(const ggml_tensor * input, const ggml_tensor * node = nullptr);
    const ggml_tensor * readable_copy(const ggml_tensor * input);
    const ggml_tensor * copy_of_output_ids(const ggml_tensor * shown);
    bool read_input(const ggml_tensor * input, const ggml_tensor * node, copy & made) const;
    void keep_mask(known_mask & mask);
    const ggml_tensor * cells_of(const ggml_tensor * node) const;

    // During keep():
    const input_device * device_ = nullptr;
    ptrdiff_t n_old_ = 0;     // copies that were made before
    bool any_known_ = false;  // the graph reads one of them
    std::vector<copy> copies_;
    std::vector<key_write> writes_;
    std::vector<known_mask> masks_;
    const ggml_tensor * positions_ = nullptr;
    const ggml_tensor * out_ids_ = nullptr;
};

}  // namespace tmx
