// trianglemix/plan.h -- which layers, and which of their heads, may take Triangle attention, and in which layers blocks
// are selected. The format of plan files is in docs/plan_format.md, what a plan means for a layer's heads in
// head_rules.h.
//
// THREADS  Plain values and pure functions.
// ERRORS   Readers take hostile text: they never throw and never crash; what was wrong is in parsed<T>::error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trianglemix/attention.h"
#include "trianglemix/geometry.h"
#include "trianglemix/selection_rule.h"

namespace tmx {

// The shape a plan was made for; a field of 0 or an empty name was not recorded and is not compared.
struct model_shape {
    std::string architecture;  // GGUF general.architecture: "llama", "qwen2", ...
    int32_t n_layer = 0;
    int32_t n_head = 0;  // query heads a layer
    int32_t n_head_kv = 0;
    int32_t d_head = 0;  // key head dimension

    bool operator==(const model_shape &) const = default;
};

enum class layer_kind : uint8_t { dense, triangle };

// What a layer has in place of the plan's sink or window; < 0: the plan's.
struct own_band {
    int64_t n_sink = -1;
    int64_t n_window = -1;

    bool any() const { return n_sink >= 0 || n_window >= 0; }
    bool operator==(const own_band &) const = default;
};

struct layer_plan {
    layer_kind kind = layer_kind::dense;
    std::vector<uint8_t> dense_head;    // [n_head] of a triangle layer: non-zero keeps that head dense; empty: none
    int32_t dynamic = -1;               // number in plan::dynamic of the rule by which blocks are selected, besides
                                        // what `kind` says, in every head that is not dense. < 0: none
    std::vector<int32_t> head_dynamic;  // [n_head] the same head by head, where heads differ; then `dynamic` is < 0.
                                        // A head with none does what `kind` says. Empty: they do not differ
    own_band own;                       // of a triangle layer

    bool is_dynamic() const { return dynamic >= 0 || !head_dynamic.empty(); }
    bool operator==(const layer_plan &) const = default;
};

// By what blocks are selected, and from which length on.
struct dynamic_rule {
    selection_rule selection;
    int64_t min_tokens = 0;  // where a row's sequence has fewer keys, its layers are what `kind` says

    bool operator==(const dynamic_rule &) const = default;
};

struct plan {
    std::string name;
    model_shape model;
    triangle_shape shape;
    tail_policy tail = tail_policy::chunk;
    precision arithmetic = precision::exact;
    std::vector<layer_plan> layers;     // [n_layer]; layers beyond its end are dense
    std::vector<dynamic_rule> dynamic;  // each is some layer's
    double skip = 0;         // attention_args::skip_factor of layers that are not triangle; 0: nothing is skipped
    std::string provenance;  // JSON text of the file's "provenance" object, white space removed; "" if none

    // What a triangle layer keeps: the plan's shape, or its own sink and window with the plan's last rows.
    // REQUIRES layer < layers.size().
    triangle_shape shape_of_layer(size_t layer) const;

    bool any_triangle() const;
    bool any_sparse() const;  // a layer that is triangle, or dynamic, or both, or keys that may be skipped
    bool operator==(const plan & other) const;
};

// The longest prompt that the plan was measured on, tokens: "measured_up_to" of its provenance; 0: not recorded. Behind
// twice that length nobody knows what the plan does.
int64_t measured_length(const plan & p) noexcept;
constexpr bool far_beyond(int64_t n_tokens, int64_t measured) {
    return measured > 0 && n_tokens - measured > measured;
}

// Either a value or a sentence that says what was wrong, where, and what is allowed.
template <class T>
struct parsed {
    T value{};
    std::string error;  // empty: value is good
    bool ok() const { return error.empty(); }
};

// Reads a plan from JSON text. Unknown keys are errors: a typo must not be ignored.
parsed<plan> parse_plan(std::string_view json_text) noexcept;
parsed<plan> read_plan_file(const std::string & path) noexcept;

// A plan as users name it: "preset:NAME" for a shipped one, anything else is the path of a file.
parsed<plan> load_plan(const std::string & reference) noexcept;

// Pretty JSON that parse_plan reads back as an equal plan: of version 2 if a layer is dynamic or has a band of its own,
// or keys may be skipped, else of version 1.
// REQUIRES layers.size() == model.n_layer; every rule of `dynamic` is some layer's (others are left out), good for
//          check_rule(), and in all its layers of the same heads; every dense_head is empty, or is [model.n_head] with
//          at least one head dense and one not, all of them of no rule in head_dynamic; a layer that is not triangle
//          has neither a dense_head nor a band of its own; provenance is "" or the text of a JSON object.
std::string write_plan(const plan & p);

// Layer sets as users type them: "16-31", "0,4,7-9", "all", "none"; the result ascends. Duplicates and descending
// ranges are errors. n_layer < 0: unknown; then "all" is an error and only the format's own limit is checked.
parsed<std::vector<int32_t>> parse_layer_set(std::string_view text, int32_t n_layer) noexcept;

// The shortest text parse_layer_set reads back: "0,4,7-9"; "none" if empty. REQUIRES layers ascending.
std::string format_layer_set(const std::vector<int32_t> & layers);

// A rule as users type it: a method with its parameters' values, named or in their order: "stride:stride=10,
// min_tokens=4096", "stride:10". What is left out has its usual value. format_selection() names all parameters.
std::string format_selection(const selection_rule & rule);

// The value of a method's parameter as people type it. The error names the parameter, what was found, and what it may
// be.
parsed<double> parse_parameter(const selection_parameter & parameter, std::string_view text);

// Rules, and the layers that each is for, none in two of them: "stride:10@0-9;stride:3@12,14".
struct dynamic_layers {
    dynamic_rule rule;
    std::vector<int32_t> layers;
};
parsed<std::vector<dynamic_layers>> parse_dynamic_layers(std::string_view text, int32_t n_layer) noexcept;

// Puts them into the plan, which grows to hold their layers. REQUIRES a plan in which nothing is dynamic.
void add_dynamic_layers(const std::vector<dynamic_layers> & rules, plan & p);

// The words files, options and the environment use: "prompt", "chunk", "output"; "exact", "fast".
std::string_view name_of(tail_policy tail);
std::string_view name_of(precision arithmetic);
parsed<tail_policy> parse_tail_policy(std::string_view text) noexcept;
parsed<precision> parse_precision(std::string_view text) noexcept;

// "" if the plan may run on this model, else every difference: "plan is for 32 layers, the model has 30". What the plan
// or `running` did not record is not compared.
std::string plan_mismatch(const plan & p, const model_shape & running);

// Shipped plans (plans/*.json, compiled in), by name: the paper's for its models, a public port's for Qwen3-8B, and our
// own, measured, for the embedded model. Each file's provenance says which.
struct plan_preset {
    std::string_view name;  // file name without .json
    std::string_view json_text;
};
const std::vector<plan_preset> & plan_presets();

// The preset of that exact name; null if none.
const plan_preset * find_preset(std::string_view name);

// Presets that plan_mismatch() accepts for this model. Several models share one shape, so these are suggestions: never
// apply one that the user did not name.
std::vector<const plan_preset *> presets_for(const model_shape & running);

}  // namespace tmx
