// trianglemix/plan.h -- which layers, and which of their heads, may take Triangle attention. File format:
// docs/plan_format.md.
//
// THREADS  Plain values and pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trianglemix/attention.h"
#include "trianglemix/geometry.h"

namespace tmx {

// The shape a plan was made for; a field of 0 or an empty name was not recorded and is not compared.
struct model_shape {
    std::string architecture;  // GGUF general.architecture: "llama", "qwen2", ...
    int32_t n_layer = 0;
    int32_t n_head = 0;        // query heads a layer
    int32_t n_head_kv = 0;
    int32_t d_head = 0;        // key head dimension
};

enum class layer_kind : uint8_t { dense, triangle };

struct layer_plan {
    layer_kind kind = layer_kind::dense;
    std::vector<uint8_t> dense_head;  // [n_head] of a triangle layer: non-zero keeps that head dense; empty: none
};

struct plan {
    std::string name;
    model_shape model;
    triangle_shape shape;
    tail_policy tail = tail_policy::chunk;
    precision arithmetic = precision::exact;
    std::vector<layer_plan> layers;  // [n_layer]
    std::string provenance;          // JSON text of the file's "provenance" object, as read; "" if none

    bool any_triangle() const;
};

// Either a value or a sentence that says what was wrong, where, and what is allowed.
template <class T>
struct parsed {
    T value{};
    std::string error;  // empty: value is good
    bool ok() const { return error.empty(); }
};

// Reads a plan from JSON text / writes it (round trip is exact). Unknown keys are errors: a typo must not be ignored.
parsed<plan> parse_plan(std::string_view json_text);
parsed<plan> read_plan_file(const std::string & path);
std::string write_plan(const plan & p);

// Layer sets as users type them: "16-31", "0,4,7-9", "all", "none". Duplicates and descending ranges are errors.
// n_layer < 0: unknown; then "all" is an error and no upper bound is checked.
parsed<std::vector<int32_t>> parse_layer_set(std::string_view text, int32_t n_layer);

// "" if the plan may run on this model, else the difference: "plan is for 32 layers, the model has 30".
std::string plan_mismatch(const plan & p, const model_shape & running);

// Shipped plans (plans/*.json, compiled in): the paper's models and the embedded one.
struct plan_preset {
    std::string_view name;       // file name without .json
    std::string_view json_text;
};
const std::vector<plan_preset> & plan_presets();

// The preset whose recorded shape fits, by name if `model_name` (GGUF general.name) contains the preset's model name;
// null if none. Shapes alone do not identify a model: a preset is only suggested by shape, never applied silently.
const plan_preset * find_preset(std::string_view name);

}  // namespace tmx
