// probe/model_file.h -- a GGUF file as the probe reads it: the shape of a Llama-family model and its
// tensors, mapped into memory and turned into f32 where they are used.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "runtime/failure.h"

struct gguf_context;

namespace tmx {

// What the probe's arithmetic needs to know. Head counts and sizes are those of every layer.
struct probe_shape {
    std::string architecture;  // "llama", "qwen2", "qwen3"
    int32_t n_layer = 0;
    int32_t n_head = 0;
    int32_t n_head_kv = 0;
    int64_t d_head = 0;
    int64_t n_embd = 0;
    int64_t n_ff = 0;
    int64_t n_vocab = 0;
    int64_t n_ctx_train = 0;
    float rms_eps = 0;

    // Rotary embedding, as ggml_rope_ext takes it.
    int rope_mode = 0;
    int rope_n_ctx_orig = 0;
    float rope_base = 10000.0F;
    float rope_scale = 1.0F;
    float rope_ext_factor = 0.0F;
    float rope_attn_factor = 1.0F;
    float rope_beta_fast = 32.0F;
    float rope_beta_slow = 1.0F;

    bool operator==(const probe_shape &) const = default;
};

// One tensor of the file. Rows are what ggml calls ne[1] and above, each of n_cols elements.
struct file_tensor {
    const void * data = nullptr;  // in the mapped file
    int type = 0;                 // ggml_type
    int64_t n_cols = 0;
    int64_t n_rows = 0;
};

// A model that the probe does not compute. what() also says what to do; reason() does not.
class not_probed : public failure {
  public:
    explicit not_probed(const std::string & why);
    const std::string & reason() const { return reason_; }

  private:
    std::string reason_;
};

// REQUIRES the file to stay as it is while the object lives.
// ERRORS   not_probed: an architecture or a feature that the probe does not compute. failure: not a GGUF, cut short, or
//          tensors that do not fit together.
// THREADS  Constant functions may be called from any thread.
class model_file {
  public:
    explicit model_file(const std::string & path);
    ~model_file();
    model_file(const model_file &) = delete;
    model_file & operator=(const model_file &) = delete;

    const probe_shape & shape() const { return shape_; }
    const std::string & path() const { return path_; }

    // Null if there is none of that name.
    const file_tensor * find(const std::string & name) const;
    static std::string layer_tensor(int32_t layer, const std::string & name);  // "blk.3.attn_q.weight"

    // Rows [row_begin, row_end) as f32.
    static void to_float(const file_tensor & tensor, int64_t row_begin, int64_t row_end, float * out);

  private:
    struct free_gguf {
        void operator()(gguf_context * file) const;
    };
    std::string path_;
    std::unique_ptr<gguf_context, free_gguf> gguf_;
    void * mapped_ = nullptr;
    size_t mapped_bytes_ = 0;
    std::map<std::string, file_tensor> tensors_;
    probe_shape shape_;

    void map_file();
    void list_tensors();
    void read_shape();
    void read_rope(const std::string & prefix);
    void check_tensors() const;
};

}  // namespace tmx
