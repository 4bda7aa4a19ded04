// A graph with the attention of several layers, laid out and named as llama.cpp's, computed by the scheduler with the
// CPU backend and, if given, ours.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fake_cache.h"
#include "glue/abi.h"

namespace tmx::test {

struct mini_shape {
    int n_layer = 3;
    int64_t n_head = 4;
    int64_t n_head_kv = 2;
    int64_t d_head = 32;
    ggml_type kv_type = GGML_TYPE_F16;
    bool output_ids = true;       // whether the graph has an out_ids tensor
    bool named_outputs = true;    // false: that tensor has no name, as in llama.cpp before ggml 0.25
    int pos_per_row = 1;          // more: as M-RoPE has them, by sections; 0: a model without positions
    int64_t text_rows = 1 << 20;  // rows from here on are an image's: their sections differ
    bool cast_keys = false;       // the node gets keys and values as f16, whatever the cache holds
    bool named_caches = true;     // false: not as llama.cpp names them, so layers are not known
    int64_t second_cells = 0;     // > 0: odd layers have a cache of their own, of so many cells, as windowed layers do
    bool rope = false;            // keys go through RoPE
    bool rope_queries = false;    // and queries
    bool project = false;         // products with weights before and behind attention; those before change no number
    int64_t n_hidden = 0;         // > 0: a feed-forward block of f16 weights behind each layer's attention
    bool up_first = false;        // its up comes before its gate
    bool add_rows = false;        // what it began from is added to it
    bool sinks = false;           // learned sink logits, in the cache's memory, as weights of a layer on the device
    float softcap = 0;
    bool host_between = false;  // between layers the host's CPU computes something, in the inputs' memory if it is free
};

class mini_model {
  public:
    // `ours` may be null. Room for ubatches of exactly n_rows rows on a cache of n_cells; as llama.cpp does, one graph
    // serves all of them.
    mini_model(const mini_shape & shape, int64_t n_rows, int64_t n_cells, int64_t n_output, ggml_backend_dev_t ours);
    ~mini_model();
    mini_model(const mini_model &) = delete;
    mini_model & operator=(const mini_model &) = delete;

    // From now on ubatches have so many rows: another graph on the same cache.
    void set_rows(int64_t n_rows);

    // Queries, keys and values are a fixed function of user, position and layer. False: the graph failed.
    // `second` is the ubatch as the second cache has it.
    bool compute(const fake_ubatch & ubatch, const std::vector<int32_t> & users, const fake_ubatch * second = nullptr) {
        set_inputs(ubatch, users, second);
        return run();
    }
    void set_inputs(const fake_ubatch & ubatch, const std::vector<int32_t> & users,
                    const fake_ubatch * second = nullptr);
    bool run();

    // The host reads cells [first, first + n) as a state, and writes one, of this model or another of its shape.
    using state = std::vector<std::vector<char>>;
    state save(int64_t first, int64_t n) const;
    void restore(const state & saved, int64_t first, int64_t n);

    // The host rewrites the keys in place by a graph of its own, as when it shifts positions: here by what they are.
    bool rewrite_keys();

    // [n_rows, n_head, d_head] of the last ubatch.
    std::vector<float> output(int il) const;
    std::vector<float> block_output(int il) const;  // [n_rows, n_head * d_head], behind the feed-forward block
    int64_t context() const { return context_; }    // our backend's, see host_context.h; 0: none
    static std::vector<int64_t> living_contexts();  // of all models
    int n_ours() const;                             // attention nodes that the scheduler gave to our backend

  private:
    struct layer {
        ggml_tensor * q;
        ggml_tensor * k;
        ggml_tensor * v;
        ggml_tensor * out;
        ggml_tensor * block;  // null: there is none
    };
    int cache_of(int il) const;
    void build_cache();
    void add_projections(ggml_context * context, int il);
    void set_projections();
    void add_blocks(ggml_context * context, int il);
    void set_blocks();
    ggml_tensor * block_behind(ggml_context * context, int il, ggml_tensor * attention);
    void build_graph();
    void compute_on_host(ggml_tensor * from);

    mini_shape shape_;
    int64_t n_rows_;
    int64_t n_cells_;
    int64_t n_output_;
    int64_t context_ = 0;
    std::vector<ggml_backend_t> backends_;  // ours first, CPU last
    ggml_backend_sched_t sched_ = nullptr;
    ggml_context * cache_context_[2] = {};  // by cache
    ggml_backend_buffer_t cache_buffer_[2] = {};
    ggml_context * graph_context_ = nullptr;
    ggml_cgraph * graph_ = nullptr;
    std::vector<ggml_tensor *> cache_k_;
    std::vector<ggml_tensor *> cache_v_;
    std::vector<ggml_tensor *> sinks_;  // by layer, if there are any
    struct projections {
        ggml_tensor * q;
        ggml_tensor * k;
        ggml_tensor * v;
        ggml_tensor * out;
    };
    std::vector<projections> weights_;  // by layer, if there are any
    struct block_weights {
        ggml_tensor * gate;
        ggml_tensor * up;
        ggml_tensor * down;
    };
    std::vector<block_weights> blocks_;   // likewise
    std::vector<ggml_tensor *> streams_;  // views of all of them: what a state is read and written through
    std::vector<layer> layers_;
    ggml_tensor * positions_ = nullptr;
    ggml_tensor * cells_[2] = {};  // by cache
    ggml_tensor * mask_[2] = {};
    ggml_tensor * out_ids_ = nullptr;
};

}  // namespace tmx::test
