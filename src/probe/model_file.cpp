#include "probe/model_file.h"

#include <fcntl.h>
#include <ggml.h>
#include <gguf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>

#include "probe/model_metadata.h"
#include "runtime/failure.h"
#include "trianglemix/kernel_features.h"

namespace tmx {
namespace {

// Tensors of a layer that the probe computes with; anything else in a layer means arithmetic that it does not know.
constexpr std::array<std::string_view, 18> k_layer_tensors = {
    "attn_norm.weight",   "attn_q.weight",   "attn_q.bias",        "attn_k.weight",    "attn_k.bias",
    "attn_v.weight",      "attn_v.bias",     "attn_output.weight", "attn_output.bias", "attn_q_norm.weight",
    "attn_k_norm.weight", "ffn_norm.weight", "ffn_gate.weight",    "ffn_gate.bias",    "ffn_up.weight",
    "ffn_up.bias",        "ffn_down.weight", "ffn_down.bias"};
constexpr std::array<std::string_view, 5> k_model_tensors = {"token_embd.weight", "output_norm.weight", "output.weight",
                                                             "output.bias", "rope_freqs.weight"};
// Written by old converters; llama.cpp ignores it.
constexpr std::string_view k_ignored = "attn_rot_embd.weight";

int64_t required(const std::optional<int64_t> & value, const std::string & path, const std::string & key) {
    if (!value) {
        throw not_probed(path + ": the probe needs '" + key + "' as one number for all layers");
    }
    return *value;
}

bool probe_knows(const std::string & architecture) {
    return architecture == "llama" || architecture == "qwen2" || architecture == "qwen3";
}

}  // namespace

not_probed::not_probed(const std::string & why)
    : failure(why + ". Use --method ablation --ablate-in llama.cpp, which measures any model that the backend runs."),
      reason_(why) {}

void model_file::free_gguf::operator()(gguf_context * file) const {
    gguf_free(file);
}

model_file::model_file(const std::string & path) : path_(path) {
    const gguf_init_params params{true, nullptr};
    gguf_.reset(gguf_init_from_file(path.c_str(), params));
    if (gguf_ == nullptr) {
        throw failure(path + " is not a GGUF file that can be read");
    }
    read_shape();
    map_file();
    try {
        list_tensors();
        check_tensors();
    } catch (...) {
        munmap(mapped_, mapped_bytes_);
        throw;
    }
}

model_file::~model_file() {
    munmap(mapped_, mapped_bytes_);
}

void model_file::map_file() {
    const int file = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (file < 0 || fstat(file, &info) != 0) {
        throw failure("cannot open " + path_ + ": " + std::strerror(errno));
    }
    mapped_bytes_ = static_cast<size_t>(info.st_size);
    mapped_ = mmap(nullptr, mapped_bytes_, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (mapped_ == MAP_FAILED) {
        throw failure("cannot map " + path_ + " into memory: " + std::strerror(errno));
    }
}

void model_file::list_tensors() {
    const size_t data_offset = gguf_get_data_offset(gguf_.get());
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf_.get()); ++i) {
        const std::string name = gguf_get_tensor_name(gguf_.get(), i);
        const int64_t * ne = gguf_get_tensor_ne(gguf_.get(), i);
        const ggml_type type = gguf_get_tensor_type(gguf_.get(), i);
        const size_t begin = data_offset + gguf_get_tensor_offset(gguf_.get(), i);
        if (begin + gguf_get_tensor_size(gguf_.get(), i) > mapped_bytes_) {
            throw failure(path_ + " is cut short: tensor " + name + " ends behind the file's end");
        }
        if (type != GGML_TYPE_F32 && ggml_get_type_traits(type)->to_float == nullptr) {
            throw not_probed(path_ + ": tensor " + name + " has type " + ggml_type_name(type) +
                             ", which ggml cannot turn into f32");
        }
        tensors_[name] = {static_cast<const char *>(mapped_) + begin, type, ne[0], ne[1] * ne[2] * ne[3]};
    }
}

void model_file::read_shape() {
    const gguf_context * file = gguf_.get();
    shape_.architecture = metadata_text(file, "general.architecture").value_or("");
    if (!probe_knows(shape_.architecture)) {
        throw not_probed(path_ + ": the probe knows the architectures llama, qwen2 and qwen3, not '" +
                         shape_.architecture + "'");
    }
    if (metadata_integer(file, "split.count").value_or(1) > 1) {
        throw failure(path_ +
                      " is one part of a split model, which the probe does not read; join the parts with "
                      "llama-gguf-split --merge.");
    }
    const std::string prefix = shape_.architecture + ".";
    const auto number = [&](const std::string & key) {
        return required(metadata_integer(file, prefix + key), path_, prefix + key);
    };
    shape_.n_layer = static_cast<int32_t>(number("block_count"));
    shape_.n_embd = number("embedding_length");
    shape_.n_ff = number("feed_forward_length");
    shape_.n_head = static_cast<int32_t>(number("attention.head_count"));
    shape_.n_ctx_train = number("context_length");
    const bool own_kv = gguf_find_key(file, (prefix + "attention.head_count_kv").c_str()) >= 0;
    shape_.n_head_kv = own_kv ? static_cast<int32_t>(number("attention.head_count_kv")) : shape_.n_head;
    if (shape_.n_layer < 1 || shape_.n_head < 1 || shape_.n_head_kv < 1 || shape_.n_head % shape_.n_head_kv != 0 ||
        shape_.n_embd < 1 || shape_.n_ff < 1) {
        throw failure(path_ + ": its numbers of layers, heads or dimensions make no sense");
    }
    shape_.d_head = metadata_integer(file, prefix + "attention.key_length").value_or(shape_.n_embd / shape_.n_head);
    const int64_t d_value = metadata_integer(file, prefix + "attention.value_length").value_or(shape_.d_head);
    const int64_t n_rot = metadata_integer(file, prefix + "rope.dimension_count").value_or(shape_.d_head);
    const attention_needs needs = {
        .k_type = dtype::f32,  // that the probe computes in, whatever the file holds
        .v_type = dtype::f32,
        .d_qk = shape_.d_head,
        .d_v = d_value,
        .n_head = shape_.n_head,
        .n_head_kv = shape_.n_head_kv,
    };
    if (d_value != shape_.d_head || n_rot != shape_.d_head || first_mismatch(k_probe_features, needs)) {
        const dim_range & dims = k_probe_features.dims;
        throw not_probed(path_ +
                         ": the probe needs keys, values and rotary embedding of one head dimension, a multiple of " +
                         std::to_string(dims.step) + " up to " + std::to_string(dims.most));
    }
    if (metadata_integer(file, prefix + "expert_count").value_or(0) > 0) {
        throw not_probed(path_ + ": the probe does not compute mixtures of experts");
    }
    const std::string eps_key = prefix + "attention.layer_norm_rms_epsilon";
    const std::optional<float> eps = metadata_float(file, eps_key);
    if (!eps) {
        throw failure(path_ + " has no '" + eps_key + "'");
    }
    shape_.rms_eps = *eps;
    const int64_t id = gguf_find_tensor(file, "token_embd.weight");
    if (id >= 0) {
        shape_.n_vocab = gguf_get_tensor_ne(file, id)[1];
    }
    read_rope(prefix);
}

// The same rules as llama.cpp's, so that its logits and ours are of one model.
void model_file::read_rope(const std::string & prefix) {
    const gguf_context * file = gguf_.get();
    shape_.rope_mode = shape_.architecture == "llama" ? GGML_ROPE_TYPE_NORMAL : GGML_ROPE_TYPE_NEOX;
    shape_.rope_base = metadata_float(file, prefix + "rope.freq_base").value_or(10000.0F);
    shape_.rope_n_ctx_orig = static_cast<int>(
        metadata_integer(file, prefix + "rope.scaling.original_context_length").value_or(shape_.n_ctx_train));
    const std::string scaling = metadata_text(file, prefix + "rope.scaling.type").value_or("linear");
    float factor = metadata_float(file, prefix + "rope.scaling.factor")
                       .value_or(metadata_float(file, prefix + "rope.scale_linear").value_or(0.0F));
    factor = factor == 0.0F || scaling == "none" ? 1.0F : factor;
    shape_.rope_scale = 1.0F / factor;
    const bool yarn_tuned = metadata_float(file, prefix + "rope.scaling.yarn_log_multiplier").has_value() ||
                            metadata_float(file, prefix + "rope.scaling.yarn_ext_factor").has_value() ||
                            metadata_float(file, prefix + "rope.scaling.yarn_attn_factor").has_value();
    if ((scaling != "none" && scaling != "linear" && scaling != "yarn") || yarn_tuned) {
        throw not_probed(path_ + ": the probe does not compute this kind of rotary scaling (" + scaling + ")");
    }
    shape_.rope_attn_factor = metadata_float(file, prefix + "rope.scaling.attn_factor").value_or(1.0F);
    if (scaling == "yarn") {
        shape_.rope_ext_factor = 1.0F;
        // ggml multiplies by 1 + 0.1 log(factor) itself; llama.cpp cancels that once and keeps its own.
        const float own = factor <= 1.0F ? 1.0F : 0.1F * std::log(factor) + 1.0F;
        shape_.rope_attn_factor *= own / (1.0F + 0.1F * std::log(factor));
        shape_.rope_beta_fast = metadata_float(file, prefix + "rope.scaling.yarn_beta_fast").value_or(32.0F);
        shape_.rope_beta_slow = metadata_float(file, prefix + "rope.scaling.yarn_beta_slow").value_or(1.0F);
    }
}

void model_file::check_tensors() const {
    for (const auto & [name, tensor] : tensors_) {
        const size_t dot = name.find('.', 4);
        const bool in_layer = name.starts_with("blk.") && dot != std::string::npos;
        const std::string_view own = in_layer ? std::string_view(name).substr(dot + 1) : std::string_view(name);
        const bool known =
            in_layer ? std::find(k_layer_tensors.begin(), k_layer_tensors.end(), own) != k_layer_tensors.end() ||
                           own == k_ignored
                     : std::find(k_model_tensors.begin(), k_model_tensors.end(), own) != k_model_tensors.end();
        if (!known) {
            throw not_probed(path_ + ": the probe does not know what tensor " + name + " does");
        }
    }
    const int64_t n_q = shape_.n_head * shape_.d_head;
    const int64_t n_kv = shape_.n_head_kv * shape_.d_head;
    const auto need = [&](const std::string & name, int64_t n_cols, int64_t n_rows) {
        const file_tensor * tensor = find(name);
        if (tensor == nullptr || tensor->n_cols != n_cols || tensor->n_rows != n_rows) {
            throw failure(path_ + ": tensor " + name + (tensor == nullptr ? " is missing" : " has another shape") +
                          " than the model's header says");
        }
    };
    const auto may_have = [&](const std::string & name, int64_t n_cols) {
        if (find(name) != nullptr) {
            need(name, n_cols, 1);
        }
    };
    need("token_embd.weight", shape_.n_embd, shape_.n_vocab);
    need("output_norm.weight", shape_.n_embd, 1);
    if (find("output.weight") != nullptr) {
        need("output.weight", shape_.n_embd, shape_.n_vocab);
    }
    may_have("output.bias", shape_.n_vocab);
    may_have("rope_freqs.weight", shape_.d_head / 2);
    for (int32_t layer = 0; layer < shape_.n_layer; ++layer) {
        const auto of = [&](const char * name) { return layer_tensor(layer, name); };
        need(of("attn_norm.weight"), shape_.n_embd, 1);
        need(of("attn_q.weight"), shape_.n_embd, n_q);
        need(of("attn_k.weight"), shape_.n_embd, n_kv);
        need(of("attn_v.weight"), shape_.n_embd, n_kv);
        need(of("attn_output.weight"), n_q, shape_.n_embd);
        need(of("ffn_norm.weight"), shape_.n_embd, 1);
        need(of("ffn_gate.weight"), shape_.n_embd, shape_.n_ff);
        need(of("ffn_up.weight"), shape_.n_embd, shape_.n_ff);
        need(of("ffn_down.weight"), shape_.n_ff, shape_.n_embd);
        may_have(of("attn_q.bias"), n_q);
        may_have(of("attn_k.bias"), n_kv);
        may_have(of("attn_v.bias"), n_kv);
        may_have(of("attn_output.bias"), shape_.n_embd);
        may_have(of("ffn_gate.bias"), shape_.n_ff);
        may_have(of("ffn_up.bias"), shape_.n_ff);
        may_have(of("ffn_down.bias"), shape_.n_embd);
        if (shape_.architecture == "qwen3") {
            need(of("attn_q_norm.weight"), shape_.d_head, 1);
            need(of("attn_k_norm.weight"), shape_.d_head, 1);
        } else if (find(of("attn_q_norm.weight")) != nullptr || find(of("attn_k_norm.weight")) != nullptr) {
            throw not_probed(path_ + ": norms of queries and keys in a model of architecture " + shape_.architecture +
                             " are not what the probe computes");
        }
        for (const std::string_view optional_name : k_layer_tensors) {
            const std::string name(optional_name);
            if ((find(layer_tensor(layer, name)) == nullptr) != (find(layer_tensor(0, name)) == nullptr)) {
                throw not_probed(path_ + ": some layers have " + name + " and some do not");
            }
        }
    }
}

const file_tensor * model_file::find(const std::string & name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
}

std::string model_file::layer_tensor(int32_t layer, const std::string & name) {
    return "blk." + std::to_string(layer) + "." + name;
}

void model_file::to_float(const file_tensor & tensor, int64_t row_begin, int64_t row_end, float * out) {
    const auto type = static_cast<ggml_type>(tensor.type);
    const size_t row_bytes = ggml_row_size(type, tensor.n_cols);
    const char * rows = static_cast<const char *>(tensor.data) + static_cast<size_t>(row_begin) * row_bytes;
    const auto n_rows = static_cast<size_t>(row_end - row_begin);
    if (type == GGML_TYPE_F32) {
        std::memcpy(out, rows, n_rows * row_bytes);
    } else {
        ggml_get_type_traits(type)->to_float(rows, out, (row_end - row_begin) * tensor.n_cols);
    }
}

}  // namespace tmx
