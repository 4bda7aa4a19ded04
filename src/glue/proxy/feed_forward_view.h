// The gated feed-forward blocks of a graph: gate and up, SWIGLU of both, and down, with f16 weights; and the sum with
// what the block began from, if that comes next.
#pragma once

#include <vector>

#include "glue/abi.h"
#include "trianglemix/cuda_feed_forward.h"

namespace tmx {

// Four or five nodes of which nobody else reads any but the last. Between them lie views only, so that they can be
// computed together in its place.
struct feed_forward_nodes {
    int first = 0;  // numbers of the first and the last in the graph
    int last = 0;
    const ggml_tensor * gate = nullptr;
    const ggml_tensor * up = nullptr;
    const ggml_tensor * hidden = nullptr;
    const ggml_tensor * down = nullptr;
    const ggml_tensor * added = nullptr;  // null: there is no sum
    const ggml_tensor * out = nullptr;    // the sum, or down
};

// In ascending order. Looks at operations, types, shapes and where weights lie.
std::vector<feed_forward_nodes> find_feed_forward(const ggml_cgraph * graph);

// Whether the memory of the nodes, as the host has laid it out, allows for feed_forward_args::gate_rows and those after
// it.
bool has_room(const feed_forward_nodes & nodes);

// REQUIRES has_room().
feed_forward_args feed_forward_of(const feed_forward_nodes & nodes);

}  // namespace tmx
