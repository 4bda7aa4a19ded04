// A capture with random contents.
#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "recall/capture_file.h"

namespace tmx {

constexpr int64_t k_heads = 4;
constexpr int64_t k_kv_heads = 2;
constexpr int64_t k_dim = 16;

inline capture_facts facts_of(std::vector<int32_t> layers, int64_t n_tokens) {
    capture_facts facts;
    facts.model = "random.gguf";
    facts.prompt = "random";
    facts.shape = {"llama", 3, k_heads, k_kv_heads, k_dim};
    facts.layers = std::move(layers);
    facts.n_tokens = n_tokens;
    facts.d_v = k_dim;
    facts.scale = 0.25f;
    facts.rotary = {rotary_pairs::halves, k_dim};
    return facts;
}

inline std::vector<float> random_floats(int64_t n, uint32_t seed, float size) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, size);
    std::vector<float> values(static_cast<size_t>(n));
    for (float & value : values) {
        value = normal(random);
    }
    return values;
}

inline captured_layer random_layer(int64_t n_tokens, uint32_t seed) {
    return {random_floats(n_tokens * k_heads * k_dim, seed, 2),
            random_floats(n_tokens * k_kv_heads * k_dim, seed + 1, 2),
            random_floats(n_tokens * k_kv_heads * k_dim, seed + 2, 1)};
}

// A file that is gone with the object.
struct scratch_capture {
    std::string path;

    explicit scratch_capture(const std::string & name)
        : path((std::filesystem::temp_directory_path() / ("tmx-" + std::to_string(std::random_device{}()) + name))
                   .string()) {}
    ~scratch_capture() {
        std::error_code ignored;
        std::filesystem::remove(path, ignored);
    }
    scratch_capture(const scratch_capture &) = delete;
    scratch_capture & operator=(const scratch_capture &) = delete;
};

// Writes layers as ubatches of `n_ubatch` rows bring them.
inline void write_capture(const std::string & path, const capture_facts & facts,
                          const std::vector<captured_layer> & layers, int64_t n_ubatch) {
    capture_writer writer(path, facts);
    for (int64_t begin = 0; begin < facts.n_tokens; begin += n_ubatch) {
        const int64_t end = std::min(begin + n_ubatch, facts.n_tokens);
        const auto part = [&](const std::vector<float> & values, int64_t width) {
            return std::vector<float>(values.begin() + begin * width, values.begin() + end * width);
        };
        for (size_t i = 0; i < layers.size(); ++i) {
            writer.add({facts.layers[i], begin, end - begin, k_heads, k_kv_heads, k_dim, k_dim, facts.scale,
                        part(layers[i].q, k_heads * k_dim), part(layers[i].k, k_kv_heads * k_dim),
                        part(layers[i].v, k_kv_heads * k_dim)});
        }
    }
    writer.finish();
}

}  // namespace tmx
