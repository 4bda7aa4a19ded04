#include "probe/layer_weights.h"

#include <algorithm>

#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr size_t k_most_tensors = 64;
constexpr int64_t k_rows_at_once = 64;     // turned into f32 by one thread
constexpr int64_t k_transpose_block = 32;  // rows and columns of a block that stays in the first-level cache

void read_rows(const file_tensor & tensor, float * out, int32_t n_threads) {
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t begin = 0; begin < tensor.n_rows; begin += k_rows_at_once) {
        const int64_t end = std::min(begin + k_rows_at_once, tensor.n_rows);
        model_file::to_float(tensor, begin, end, out + begin * tensor.n_cols);
    }
}

void transpose(const float * in, int64_t n_rows, int64_t n_cols, float * out, int32_t n_threads) {
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t c0 = 0; c0 < n_cols; c0 += k_transpose_block) {
        const int64_t c1 = std::min(c0 + k_transpose_block, n_cols);
        for (int64_t r0 = 0; r0 < n_rows; r0 += k_transpose_block) {
            const int64_t r1 = std::min(r0 + k_transpose_block, n_rows);
            for (int64_t c = c0; c < c1; ++c) {
                for (int64_t r = r0; r < r1; ++r) {
                    out[c * n_rows + r] = in[r * n_cols + c];
                }
            }
        }
    }
}

}  // namespace

layer_weights::layer_weights(const model_file & file, ggml_backend_t backend, int32_t n_threads)
    : file_(file), n_threads_(n_threads) {
    context_.reset(ggml_init({ggml_tensor_overhead() * k_most_tensors, nullptr, true}));
    attn_norm = add_vector("attn_norm.weight");
    q = add_matrix("attn_q.weight");
    k = add_matrix("attn_k.weight");
    v = add_matrix("attn_v.weight");
    o = add_matrix("attn_output.weight");
    q_bias = add_vector("attn_q.bias");
    k_bias = add_vector("attn_k.bias");
    v_bias = add_vector("attn_v.bias");
    o_bias = add_vector("attn_output.bias");
    q_norm = add_vector("attn_q_norm.weight");
    k_norm = add_vector("attn_k_norm.weight");
    ffn_norm = add_vector("ffn_norm.weight");
    gate = add_matrix("ffn_gate.weight");
    up = add_matrix("ffn_up.weight");
    down = add_matrix("ffn_down.weight");
    gate_bias = add_vector("ffn_gate.bias");
    up_bias = add_vector("ffn_up.bias");
    down_bias = add_vector("ffn_down.bias");
    const file_tensor * factors = file.find("rope_freqs.weight");
    if (factors != nullptr) {
        rope_factors = ggml_new_tensor_1d(context_.get(), GGML_TYPE_F32, factors->n_cols);
    }
    buffer_.reset(ggml_backend_alloc_ctx_tensors(context_.get(), backend));
    if (buffer_ == nullptr) {
        throw failure("no memory for the weights of one layer in f32");
    }
    if (factors != nullptr) {
        rows_.resize(static_cast<size_t>(factors->n_cols));
        model_file::to_float(*factors, 0, 1, rows_.data());
        ggml_backend_tensor_set(rope_factors, rows_.data(), 0, ggml_nbytes(rope_factors));
    }
}

ggml_tensor * layer_weights::add_vector(const char * name) {
    const file_tensor * found = file_.find(model_file::layer_tensor(0, name));
    if (found == nullptr) {
        return nullptr;
    }
    ggml_tensor * tensor = ggml_new_tensor_1d(context_.get(), GGML_TYPE_F32, found->n_cols);
    slots_.push_back({name, tensor, nullptr});
    return tensor;
}

weight_matrix layer_weights::add_matrix(const char * name) {
    const file_tensor * found = file_.find(model_file::layer_tensor(0, name));
    const weight_matrix matrix = {
        ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, found->n_cols, found->n_rows),
        ggml_new_tensor_2d(context_.get(), GGML_TYPE_F32, found->n_rows, found->n_cols),
    };
    slots_.push_back({name, matrix.plain, matrix.transposed});
    return matrix;
}

void layer_weights::load(int32_t layer, bool with_transposes) {
    for (const slot & s : slots_) {
        const file_tensor & tensor = *file_.find(model_file::layer_tensor(layer, s.name));
        rows_.resize(static_cast<size_t>(tensor.n_rows * tensor.n_cols));
        read_rows(tensor, rows_.data(), n_threads_);
        ggml_backend_tensor_set(s.plain, rows_.data(), 0, ggml_nbytes(s.plain));
        if (with_transposes && s.transposed != nullptr) {
            columns_.resize(rows_.size());
            transpose(rows_.data(), tensor.n_rows, tensor.n_cols, columns_.data(), n_threads_);
            ggml_backend_tensor_set(s.transposed, columns_.data(), 0, ggml_nbytes(s.transposed));
        }
    }
}

}  // namespace tmx
