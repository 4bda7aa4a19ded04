// A tiny Llama-family model in double precision, written from the definition and sharing no code with src/: forward
// only, with one attention weight or score of one head changed by a little, or with some pairs left out. Its logits,
// and differences of them, are what the probe is held against.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tmx::test {

struct tiny_shape {
    std::string architecture = "llama";  // "llama", "qwen2" (biases of q, k, v), "qwen3" (norms of q and k)
    int n_layer = 2;
    int n_head = 4;
    int n_head_kv = 2;
    int d_head = 16;
    int n_embd = 24;
    int n_ff = 40;
    int n_vocab = 50;
    bool tied = false;          // no output.weight
    bool all_biases = false;    // of the output product and the feed-forward, too
    bool rope_factors = false;  // rope_freqs.weight
    double eps = 1e-5;
    double rope_base = 10000;
    double rope_factor = 1;  // linear scaling
};

// [rows][cols], as in a GGUF: a row is what one output is made of.
struct tiny_tensor {
    int n_rows = 0;
    int n_cols = 0;
    std::vector<float> values;
};

// Tensors by their GGUF names, random but the same for the same seed.
struct tiny_model {
    tiny_shape shape;
    std::map<std::string, tiny_tensor> tensors;
};
tiny_model make_tiny_model(const tiny_shape & shape, uint32_t seed);

class reference_model {
  public:
    // Whether a head of a layer attends from row i to row j <= i; every row must keep one. Empty: to all.
    using pair_rule = std::function<bool(int layer, int head, int i, int j)>;

    reference_model(const tiny_model & model, const std::vector<int> & tokens, pair_rule keeps = {});

    const std::vector<double> & logits() const { return logits_; }  // behind the last token
    std::vector<double> logits_behind(int i) const;
    double attention(int layer, int head, int i, int j) const;  // A

    // dy/dA[i][j] or dy/dS[i][j] of one head by a central difference; y: the target's logit. Softmax is not applied
    // again behind a changed A. Everything is as it was when it returns.
    enum class what : uint8_t { attention, score };
    double derivative(what kind, int layer, int head, int i, int j, int target);

  private:
    using row = std::vector<double>;
    struct projections {
        std::vector<row> q, k, v;  // [n]
    };
    struct layer_state {
        std::vector<row> x;  // [n]
        projections p;
        std::vector<std::vector<row>> attention;  // [head][i][j]
        std::vector<row> out;                     // [n] heads side by side
    };
    const tiny_model & model_;
    int n_;
    pair_rule keeps_;
    std::vector<layer_state> layers_;
    std::vector<row> top_;  // [n]: the last layer's output
    std::vector<double> logits_;

    const tiny_tensor * find(int layer, const std::string & name) const;
    row product(const row & x, int layer, const std::string & name) const;
    row normalised(const row & x, const tiny_tensor & weight) const;
    void project(int layer, const row & x, int position, row & q, row & k, row & v) const;
    void rotate(row & x, int n_heads, int position) const;
    row scores(int layer, int head, const row & q, const std::vector<row> & k, int i) const;
    void gather(int head, const row & weights, const std::vector<row> & v, row & out) const;
    row attend_row(int layer, const projections & p, int i, std::vector<row> * attention) const;
    row finish(int layer, const row & x, const row & out) const;
    double logit(const row & x, int token) const;
    double logit_with(what kind, int layer, int head, int i, int j, double change, int target);
    const tiny_tensor & output() const;
};

}  // namespace tmx::test
