// recall/capture_file.h -- queries, keys and values of some layers of a model on one prompt, as a file.
//
// The first 4096 bytes are a JSON object, blanks and a line break: what the arrays are. Then come, for each layer in
// the order of `layers`, q [tokens, heads, d_qk], k [tokens, kv_heads, d_qk] and v [tokens, kv_heads, d_v], f32, little
// endian.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "runtime/attention_tap.h"
#include "trianglemix/attention.h"
#include "trianglemix/plan.h"
#include "trianglemix/rotary_layout.h"

namespace tmx {

struct capture_facts {
    std::string model;   // the file's name
    std::string prompt;  // what was read, for people
    model_shape shape;
    std::vector<int32_t> layers;
    int64_t n_tokens = 0;
    int64_t d_v = 0;
    float scale = 0;  // of the logits
    rotary_layout rotary;
};

struct captured_layer {
    std::vector<float> q;
    std::vector<float> k;
    std::vector<float> v;

    // Without results. REQUIRES the layer of a file with these facts; it outlives what is returned.
    attention_args args(const capture_facts & facts) const;
};

// Writes under another name, and takes the file's own in finish(). ERRORS of all: failure.
class capture_writer {
  public:
    // d_v and scale of the facts are known from what comes first.
    capture_writer(std::string path, capture_facts facts);
    ~capture_writer();
    capture_writer(const capture_writer &) = delete;
    capture_writer & operator=(const capture_writer &) = delete;

    void add(const attention_inputs & seen);
    void finish();

  private:
    std::string path_;
    capture_facts facts_;
    std::ofstream out_;

    void put(int64_t offset, const std::vector<float> & values);
};

// ERRORS failure, also where the file is none of these, or too short.
class capture_reader {
  public:
    explicit capture_reader(const std::string & path);

    const capture_facts & facts() const { return facts_; }
    captured_layer read(size_t number);  // in facts().layers

  private:
    std::string path_;
    std::ifstream in_;
    capture_facts facts_;

    std::vector<float> get(int64_t offset, int64_t n);
};

}  // namespace tmx
