// probe/layer_weights.h -- the weights of one layer at a time, in f32, where a ggml backend computes with them.
//
// ggml rounds activations to 8 bits, or to f16, where weights are quantised; a derivative of that is no derivative. So
// weights become f32 here. Matrices are kept a second time transposed: the reverse pass multiplies by the transpose,
// and ggml's product wants both operands contiguous along the axis that is summed.
#pragma once

#include <ggml-backend.h>
#include <ggml.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "probe/model_file.h"

namespace tmx {

struct free_ggml {
    void operator()(ggml_context * context) const { ggml_free(context); }
    void operator()(ggml_backend_t backend) const { ggml_backend_free(backend); }
    void operator()(ggml_backend_buffer_t buffer) const { ggml_backend_buffer_free(buffer); }
    void operator()(ggml_gallocr_t allocator) const { ggml_gallocr_free(allocator); }
};
using ggml_context_ptr = std::unique_ptr<ggml_context, free_ggml>;
using ggml_backend_holder = std::unique_ptr<std::remove_pointer_t<ggml_backend_t>, free_ggml>;
using ggml_buffer_holder = std::unique_ptr<std::remove_pointer_t<ggml_backend_buffer_t>, free_ggml>;
using ggml_gallocr_holder = std::unique_ptr<std::remove_pointer_t<ggml_gallocr_t>, free_ggml>;

// A matrix and its transpose. In ggml's order: plain [n_in, n_out], transposed [n_out, n_in].
struct weight_matrix {
    ggml_tensor * plain = nullptr;
    ggml_tensor * transposed = nullptr;
};

// Tensors are the same objects for every layer; load() changes what they hold. Null: the model has none.
class layer_weights {
  public:
    // n_threads: that turn the file's numbers into f32. ERRORS failure: no memory.
    layer_weights(const model_file & file, ggml_backend_t backend, int32_t n_threads);

    // The matrices' transposes are only made when asked for.
    void load(int32_t layer, bool with_transposes);

    ggml_tensor * attn_norm = nullptr;  // [n_embd]
    weight_matrix q, k, v, o;
    ggml_tensor *q_bias = nullptr, *k_bias = nullptr, *v_bias = nullptr, *o_bias = nullptr;
    ggml_tensor *q_norm = nullptr, *k_norm = nullptr;  // [d_head]
    ggml_tensor * ffn_norm = nullptr;                  // [n_embd]
    weight_matrix gate, up, down;
    ggml_tensor *gate_bias = nullptr, *up_bias = nullptr, *down_bias = nullptr;
    ggml_tensor * rope_factors = nullptr;  // [d_head / 2], the same for all layers

  private:
    struct slot {
        std::string name;  // in the file, of a layer
        ggml_tensor * plain;
        ggml_tensor * transposed;
    };
    const model_file & file_;
    int32_t n_threads_;
    ggml_context_ptr context_;
    ggml_buffer_holder buffer_;
    std::vector<slot> slots_;
    std::vector<float> rows_;
    std::vector<float> columns_;

    ggml_tensor * add_vector(const char * name);
    weight_matrix add_matrix(const char * name);
};

}  // namespace tmx
