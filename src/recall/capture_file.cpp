#include "recall/capture_file.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/failure.h"

namespace tmx {
namespace {

using nlohmann::ordered_json;

constexpr int64_t k_header_bytes = 4096;
constexpr char k_format[] = "trianglemix-capture";
constexpr int64_t k_most_tokens = int64_t{1} << 24;
constexpr int64_t k_most_dims = 1024;

// Floats of one array, and where they begin.
struct layer_places {
    int64_t n_q, n_k, n_v;

    explicit layer_places(const capture_facts & f)
        : n_q(f.n_tokens * f.shape.n_head * f.shape.d_head),
          n_k(f.n_tokens * f.shape.n_head_kv * f.shape.d_head),
          n_v(f.n_tokens * f.shape.n_head_kv * f.d_v) {}

    int64_t floats() const { return n_q + n_k + n_v; }
    int64_t begin(size_t number) const {
        return k_header_bytes + static_cast<int64_t>(sizeof(float)) * floats() * static_cast<int64_t>(number);
    }
};

int64_t bytes(int64_t n_floats) {
    return n_floats * static_cast<int64_t>(sizeof(float));
}

std::string partial(const std::string & path) {
    return path + ".partial";
}

std::string header_of(const capture_facts & f) {
    const ordered_json header = {{"format", k_format},
                                 {"version", 1},
                                 {"model", f.model},
                                 {"prompt", f.prompt},
                                 {"architecture", f.shape.architecture},
                                 {"model_layers", f.shape.n_layer},
                                 {"layers", f.layers},
                                 {"tokens", f.n_tokens},
                                 {"heads", f.shape.n_head},
                                 {"kv_heads", f.shape.n_head_kv},
                                 {"d_qk", f.shape.d_head},
                                 {"d_v", f.d_v},
                                 {"scale", f.scale},
                                 {"rotary_pairs", static_cast<int>(f.rotary.pairs)},
                                 {"rotary_dims", f.rotary.n_dims}};
    std::string text = header.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
    if (static_cast<int64_t>(text.size()) >= k_header_bytes) {
        throw failure("a capture of so many layers, or of a model with so long a name, has no room for saying so");
    }
    text.resize(k_header_bytes - 1, ' ');
    return text + '\n';
}

int64_t whole(const ordered_json & header, const char * key, int64_t least, int64_t most) {
    const ordered_json & value = header.at(key);
    if (!value.is_number_integer() || value.get<int64_t>() < least || value.get<int64_t>() > most) {
        throw failure(std::string(key) + " is not from " + std::to_string(least) + " to " + std::to_string(most));
    }
    return value.get<int64_t>();
}

capture_facts facts_of(const std::string & text) {
    const ordered_json header = ordered_json::parse(text);
    if (header.at("format") != k_format || header.at("version") != 1) {
        throw failure("it is of another format or version");
    }
    constexpr auto k_most_heads = static_cast<int64_t>(1024);
    capture_facts f;
    f.model = header.at("model").get<std::string>();
    f.prompt = header.at("prompt").get<std::string>();
    f.shape.architecture = header.at("architecture").get<std::string>();
    f.shape.n_layer = static_cast<int32_t>(whole(header, "model_layers", 1, 1024));
    f.shape.n_head = static_cast<int32_t>(whole(header, "heads", 1, k_most_heads));
    f.shape.n_head_kv = static_cast<int32_t>(whole(header, "kv_heads", 1, k_most_heads));
    f.shape.d_head = static_cast<int32_t>(whole(header, "d_qk", 1, k_most_dims));
    f.d_v = whole(header, "d_v", 1, k_most_dims);
    f.n_tokens = whole(header, "tokens", 1, k_most_tokens);
    f.scale = header.at("scale").get<float>();
    f.rotary.pairs = static_cast<rotary_pairs>(whole(header, "rotary_pairs", 0, 2));
    f.rotary.n_dims = whole(header, "rotary_dims", 0, k_most_dims);
    f.layers = header.at("layers").get<std::vector<int32_t>>();
    for (const int32_t layer : f.layers) {
        if (layer < 0 || layer >= f.shape.n_layer) {
            throw failure("layer " + std::to_string(layer) + " is none of the model's");
        }
    }
    return f;
}

}  // namespace

attention_args captured_layer::args(const capture_facts & facts) const {
    attention_args a;
    a.q = q.data();
    a.k = k.data();
    a.v = v.data();
    a.k_type = a.v_type = dtype::f32;
    a.n_head = facts.shape.n_head;
    a.n_head_kv = facts.shape.n_head_kv;
    a.n_q = a.n_kv = facts.n_tokens;
    a.d_qk = facts.shape.d_head;
    a.d_v = facts.d_v;
    a.q_stride_head = a.k_stride_head = a.d_qk;
    a.v_stride_head = a.out_stride_head = a.d_v;
    a.q_stride_row = a.n_head * a.d_qk;
    a.k_stride_row = a.n_head_kv * a.d_qk;
    a.v_stride_row = a.n_head_kv * a.d_v;
    a.out_stride_row = a.n_head * a.d_v;
    a.q_stride_batch = a.n_q * a.q_stride_row;
    a.k_stride_batch = a.n_kv * a.k_stride_row;
    a.v_stride_batch = a.n_kv * a.v_stride_row;
    a.out_stride_batch = a.n_q * a.out_stride_row;
    a.scale = facts.scale;
    return a;
}

capture_writer::capture_writer(std::string path, capture_facts facts)
    : path_(std::move(path)), facts_(std::move(facts)), out_(partial(path_), std::ios::binary | std::ios::trunc) {
    if (!out_) {
        throw failure("cannot write " + partial(path_));
    }
}

capture_writer::~capture_writer() {
    std::error_code ignored;
    std::filesystem::remove(partial(path_), ignored);  // not there any more behind finish()
}

void capture_writer::put(int64_t offset, const std::vector<float> & values) {
    out_.seekp(offset);
    out_.write(reinterpret_cast<const char *>(values.data()), bytes(static_cast<int64_t>(values.size())));
    if (!out_) {
        throw failure("cannot write " + partial(path_) + ": is the disk full?");
    }
}

void capture_writer::add(const attention_inputs & seen) {
    if (facts_.d_v == 0) {
        facts_.d_v = seen.d_v;
        facts_.scale = seen.scale;
    }
    if (seen.n_head != facts_.shape.n_head || seen.n_head_kv != facts_.shape.n_head_kv ||
        seen.d_qk != facts_.shape.d_head || seen.d_v != facts_.d_v || seen.scale != facts_.scale) {
        throw failure("layer " + std::to_string(seen.layer) + " has other heads than the model says");
    }
    const auto found = std::find(facts_.layers.begin(), facts_.layers.end(), seen.layer);
    const layer_places places(facts_);
    int64_t begin = places.begin(static_cast<size_t>(found - facts_.layers.begin()));
    put(begin + bytes(places.n_q / facts_.n_tokens * seen.row_begin), seen.q);
    begin += bytes(places.n_q);
    put(begin + bytes(places.n_k / facts_.n_tokens * seen.row_begin), seen.k);
    begin += bytes(places.n_k);
    put(begin + bytes(places.n_v / facts_.n_tokens * seen.row_begin), seen.v);
}

void capture_writer::finish() {
    out_.seekp(0);
    out_ << header_of(facts_);
    out_.close();
    std::error_code problem;
    std::filesystem::rename(partial(path_), path_, problem);
    if (!out_ || problem) {
        throw failure("cannot write " + path_);
    }
}

capture_reader::capture_reader(const std::string & path) : path_(path), in_(path, std::ios::binary) {
    std::string header(k_header_bytes, ' ');
    if (!in_.read(header.data(), k_header_bytes)) {
        throw failure(path + " cannot be read, or is no capture of trianglemix capture");
    }
    try {
        facts_ = facts_of(header);
    } catch (const std::exception & problem) {
        throw failure(path + " is no capture that can be used: " + problem.what());
    }
    std::error_code unknown;
    const auto size = static_cast<int64_t>(std::filesystem::file_size(path, unknown));
    const int64_t expected = layer_places(facts_).begin(facts_.layers.size());
    if (unknown || size != expected) {
        throw failure(path + " has " + std::to_string(size) + " bytes, expected " + std::to_string(expected) +
                      ": capture again");
    }
}

std::vector<float> capture_reader::get(int64_t offset, int64_t n) {
    std::vector<float> values(static_cast<size_t>(n));
    in_.seekg(offset);
    if (!in_.read(reinterpret_cast<char *>(values.data()), bytes(n))) {
        throw failure("cannot read " + path_);
    }
    return values;
}

captured_layer capture_reader::read(size_t number) {
    const layer_places places(facts_);
    const int64_t begin = places.begin(number);
    captured_layer layer;
    layer.q = get(begin, places.n_q);
    layer.k = get(begin + bytes(places.n_q), places.n_k);
    layer.v = get(begin + bytes(places.n_q + places.n_k), places.n_v);
    return layer;
}

}  // namespace tmx
