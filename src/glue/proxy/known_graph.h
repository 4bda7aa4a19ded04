// The attention nodes of the graph that a GPU proxy is given, and their inputs; and its feed-forward blocks.
//
// Decoding computes one graph hundreds of times a second. Looking at its nodes again would cost the host a cache miss
// for each of several tensors a layer, so what can be found is found once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "glue/abi.h"
#include "glue/fattn_view.h"
#include "glue/graph_inputs.h"
#include "glue/proxy/feed_forward_view.h"
#include "glue/rebuilt_inputs.h"

namespace tmx {

class known_graph {
  public:
    // `device`: name of the backend that computes.
    explicit known_graph(std::string device) : device_(std::move(device)) {}

    // What follows is about this graph. False: so it was before.
    bool look_at(const ggml_cgraph * graph);

    const std::vector<int> & attention() const { return attention_; }  // indices of its attention nodes
    const std::vector<int> & masks() const { return masks_; }  // of these, the first of each mask that tells of cells
    const std::vector<feed_forward_nodes> & feed_forward() const { return feed_forward_; }
    // Key caches that the graph changes in another way than by writing rows of this evaluation.
    const std::vector<const ggml_tensor *> & rewritten() const { return rewritten_; }
    int64_t most_rows() const { return most_rows_; }  // of any attention node
    int64_t most_keys() const { return most_keys_; }
    int32_t first_layer() const { return first_layer_; }  // of the first and the last of them; -1: unknown, or none
    int32_t last_layer() const { return last_layer_; }

    // Whether the graph shows none of its host's inputs, as one that an RPC server rebuilt, or a part of one that is
    // split over devices.
    bool rebuilt() const { return rebuilt_; }
    // Whether that, or one of its masks can be a copy of several: then masks and cells are read as the device has them.
    // Each computation of such a graph begins with keep_inputs(), as rebuilt_inputs has it.
    bool by_copies() const { return by_copies_; }
    bool keep_inputs(const ggml_cgraph * graph, const input_device & device);

    const input_tensors & inputs_of(const ggml_cgraph * graph, const ggml_tensor * node);

    // An evaluation may come as several graphs. REQUIRES keep_positions() in the first of them that has attention.
    void begin_evaluation() { has_positions_ = false; }
    void keep_positions(const ggml_cgraph * graph, const ggml_tensor * node);
    ubatch_inputs inputs_now(const ggml_cgraph * graph, const ggml_tensor * node, const fattn_view & view);

  private:
    struct node_inputs {
        const ggml_tensor * mask = nullptr;
        const ggml_tensor * cache = nullptr;
        input_tensors tensors;
    };
    // An input as it was when its evaluation began.
    struct host_copy {
        const ggml_tensor * original = nullptr;
        ggml_tensor tensor{};  // its data is `bytes`
        std::vector<std::byte> bytes;
    };

    std::string device_;
    uint64_t uid_ = 0;  // of the graph; 0: of none
    const void * nodes_ = nullptr;
    std::vector<int> attention_;
    std::vector<int> masks_;
    std::vector<feed_forward_nodes> feed_forward_;
    std::vector<const ggml_tensor *> rewritten_;
    int64_t most_rows_ = 0;
    int64_t most_keys_ = 0;
    int32_t first_layer_ = -1;
    int32_t last_layer_ = -1;
    bool rebuilt_ = false;
    bool by_copies_ = false;
    rebuilt_inputs kept_;             // of such a graph
    std::deque<node_inputs> inputs_;  // so far asked for

    bool has_positions_ = false;  // of the current evaluation
    host_copy positions_;
};

}  // namespace tmx
