// layer.h -- one attention layer of a real model: its shape, random data in the layout llama.cpp uses, and a run of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "trianglemix/attention.h"

namespace tmx::bench {

struct layer_shape {
    std::string model;
    int64_t n_head = 0;
    int64_t n_head_kv = 0;
    int64_t dim = 0;  // of keys and of values
};

// Shapes of real models, by the name --model takes. Keep sorted.
const std::vector<layer_shape> & known_shapes();
const layer_shape * find_shape(std::string_view model);

// A vector that starts at a cache line, as ggml demands of memory that it is to use.
template <typename T>
struct cache_line_allocator {
    using value_type = T;
    cache_line_allocator() = default;
    template <typename U>
    cache_line_allocator(const cache_line_allocator<U> &) {}
    T * allocate(size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), std::align_val_t(64))); }
    void deallocate(T * memory, size_t) { ::operator delete(memory, std::align_val_t(64)); }
    bool operator==(const cache_line_allocator &) const = default;
};
template <typename T>
using aligned_vector = std::vector<T, cache_line_allocator<T>>;

// Which pairs a run keeps.
enum class layer_mode : uint8_t { dense, triangle };
const char * name_of(layer_mode mode);
const char * name_of(precision arithmetic);

// A whole prompt as one chunk, token-major as llama.cpp has it: queries f32 [n, n_head, dim]; keys and values f16
// [n, n_head_kv, dim]; output f32 [n, n_head, dim].
class layer_data {
  public:
    layer_data(const layer_shape & shape, int64_t n);

    // The whole prompt's call.
    attention_args args();

    // Attention of query rows [row_begin, row_end) over keys [0, row_end), into `out`. A triangle run resolves its rows
    // as the paper does for one whole prompt (8 / 512 / 128), also when it is called for a part of them.
    status run(layer_mode mode, int64_t row_begin, int64_t row_end, cpu_context & ctx);

    // FLOP of run(), counting kept pairs only, an FMA as two.
    double flops(layer_mode mode, int64_t row_begin, int64_t row_end) const;

    layer_shape shape;
    int64_t n = 0;
    aligned_vector<float> q;
    aligned_vector<uint16_t> k;
    aligned_vector<uint16_t> v;
    aligned_vector<float> out;

  private:
    std::vector<attention_segment> segments(layer_mode mode, int64_t row_begin, int64_t row_end) const;
};

}  // namespace tmx::bench
