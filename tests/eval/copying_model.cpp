#include "copying_model.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace tmx::test {
namespace {

constexpr int k_tokens = 50;
// Four parts of a row, each with a place for every token: which one it is, which one stood before it, which one it
// found, and which one it answers.
constexpr int k_own = 0;
constexpr int k_before = k_tokens;
constexpr int k_found = 2 * k_tokens;
constexpr int k_answer = 3 * k_tokens;
constexpr int k_row = 256;

constexpr int k_d_head = 128;
constexpr double k_rope_base = 1e12;
constexpr int k_fast_pairs = 16;  // of dimensions i and i + 64, whose angles tell neighbours apart

// A dimension for each token among those that hardly turn within a prompt: pairs 32 to 63.
int slow_dimension(int token) {
    return token < 32 ? 32 + token : 64 + token;
}

float & at(tiny_model & m, const std::string & name, int row, int column) {
    tiny_tensor & tensor = m.tensors.at(name);
    return tensor.values[static_cast<size_t>(row * tensor.n_cols + column)];
}

std::string of_layer(int layer, const char * name) {
    return "blk." + std::to_string(layer) + "." + name;
}

}  // namespace

tiny_model make_copying_model() {
    tiny_shape shape;
    shape.architecture = "qwen2";
    shape.n_layer = 3;
    shape.n_head = 2;  // the second one does nothing: qwen2 files have rows as long as all heads
    shape.n_head_kv = 1;
    shape.d_head = k_d_head;
    shape.n_embd = k_row;
    shape.n_ff = 32;
    shape.n_vocab = k_tokens;
    shape.rope_base = k_rope_base;
    tiny_model m = make_tiny_model(shape, 1);
    // Where nothing is set below there is nothing; norms give a row of length 1 back as it is.
    for (auto & [name, tensor] : m.tensors) {
        const bool norm = name.find("norm") != std::string::npos;
        const auto value = static_cast<float>(norm ? std::sqrt(1.0 / k_row) : 0.0);
        std::fill(tensor.values.begin(), tensor.values.end(), value);
    }
    for (int token = 0; token < k_tokens; ++token) {
        at(m, "token_embd.weight", token, k_own + token) = 1;
        at(m, "output.weight", token, k_answer + token) = 20;
        at(m, of_layer(0, "attn_v.weight"), token, k_own + token) = 1;
        at(m, of_layer(0, "attn_output.weight"), k_before + token, token) = 1;
        at(m, of_layer(1, "attn_v.weight"), token, k_own + token) = 1;
        at(m, of_layer(1, "attn_output.weight"), k_found + token, token) = 1;
        at(m, of_layer(2, "attn_v.weight"), token, k_found + token) = 1;
        at(m, of_layer(2, "attn_output.weight"), k_answer + token, token) = 1;
    }
    // Layer 0: the score of row i and key j is a sum of cos((i - 1 - j) * angle), largest for the neighbour.
    for (int pair = 0; pair < k_fast_pairs; ++pair) {
        const double angle = std::pow(k_rope_base, -2.0 * pair / k_d_head);
        constexpr double k_size = 18;
        at(m, of_layer(0, "attn_q.bias"), 0, pair) = static_cast<float>(k_size * std::cos(angle));
        at(m, of_layer(0, "attn_q.bias"), 0, pair + k_d_head / 2) = static_cast<float>(-k_size * std::sin(angle));
        at(m, of_layer(0, "attn_k.bias"), 0, pair) = k_size;
    }
    constexpr float k_sure = 24;
    at(m, of_layer(1, "attn_q.weight"), slow_dimension(k_key), k_own + k_ask) = k_sure;
    at(m, of_layer(2, "attn_q.weight"), slow_dimension(k_ask), k_own + k_query) = k_sure;
    for (int token = 0; token < k_tokens; ++token) {
        at(m, of_layer(1, "attn_k.weight"), slow_dimension(token), k_before + token) = k_sure;
        at(m, of_layer(2, "attn_k.weight"), slow_dimension(token), k_own + token) = k_sure;
    }
    return m;
}

std::vector<int32_t> copying_prompt(int n, int key_at, int ask_at, int32_t value) {
    std::vector<int32_t> ids;
    for (int i = 0; i < n; ++i) {
        ids.push_back(30 + (i * 7 + value) % 20);
    }
    ids[static_cast<size_t>(key_at)] = k_key;
    ids[static_cast<size_t>(key_at) + 1] = value;
    ids[static_cast<size_t>(ask_at)] = k_ask;
    ids.back() = k_query;
    return ids;
}

}  // namespace tmx::test
