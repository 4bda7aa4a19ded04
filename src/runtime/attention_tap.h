// runtime/attention_tap.h -- sees what the attention of chosen layers is given while llama.cpp alone computes a prompt
// on the CPU: queries behind the rotation, and the keys and values of the same rows as the cache holds them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

struct ggml_tensor;

namespace tmx {

// Of one layer and ubatch.
struct attention_inputs {
    int32_t layer = 0;
    int64_t row_begin = 0;  // of the prompt
    int64_t n_rows = 0;
    int64_t n_head = 0;
    int64_t n_head_kv = 0;
    int64_t d_qk = 0;
    int64_t d_v = 0;
    float scale = 0;       // of the logits
    std::vector<float> q;  // [n_rows, n_head, d_qk]
    std::vector<float> k;  // [n_rows, n_head_kv, d_qk], of the cache's f16
    std::vector<float> v;  // [n_rows, n_head_kv, d_v]
};

// Given to a session (context_options::tap), it is asked about every node; it looks at those of its layers while it
// listens. The session must read one prompt from the start with an f16 cache and flash attention, and none of our
// backends may compute it: their nodes are no nodes of the host's.
class attention_tap {
  public:
    // take: called in the order of ubatches, and of layers in each.
    attention_tap(std::vector<int32_t> layers, std::function<void(const attention_inputs &)> take);

    void listen() { listens_ = true; }
    // Stops listening. ERRORS failure: what hindered it, or that it was not given `n_rows` rows of each of its layers.
    void finish(int64_t n_rows);

    // llama.cpp's callback, with the tap as its data.
    static bool on_node(ggml_tensor * node, bool ask, void * tap);

  private:
    std::vector<int32_t> layers_;
    std::vector<int64_t> n_rows_;  // [layers_] seen
    std::function<void(const attention_inputs &)> take_;
    bool listens_ = false;
    std::string problem_;

    size_t number_of(const ggml_tensor * node) const;
    void take(const ggml_tensor * node);
};

}  // namespace tmx
