// trianglemix/head_patterns.h -- what each head keeps, as MInference's tables say it and a search finds it, and the
// plan that says the same.
//
// THREADS  Plain values and pure functions.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

struct head_pattern {
    enum class kind : uint8_t {
        vertical_slash,  // `first` columns and `second` diagonals, method vertical_slash of selection_rule.h
        a_shape,         // the first `first` keys and the most recent `second` ones
    };
    kind is = kind::vertical_slash;
    int32_t first = 0;
    int32_t second = 0;

    bool operator==(const head_pattern &) const = default;
};

// The rule that keeps what a vertical-slash pattern says. REQUIRES its kind.
selection_rule rule_of_pattern(const head_pattern & pattern);

struct layer_patterns {
    int32_t layer = 0;
    std::vector<head_pattern> heads;  // [n_head]
};

// One of MInference's per-head tables, JSON: an array with an object a layer, in which a head's number stands for
// [type, number, number, score], type one of "vertical_and_slash", "stream_llm" (A-shape) and "block_sparse". As its
// own code does, a head that is not there and a block-sparse one become vertical-slash with 1000 columns and 6096
// diagonals. Scores are not looked at.
// ERRORS names the layer and head: of another model, unknown, not of that form, out of range.
parsed<std::vector<layer_patterns>> parse_minference_table(std::string_view json_text,
                                                           const model_shape & model) noexcept;

// Layers that are not there stay dense. An A-shape head becomes a triangle one whose band is the largest of its layer's
// A-shape heads; the vertical-slash heads of such a layer keep that band, too.
// REQUIRES model.n_layer and n_head; layers and heads of that model, each layer once.
// ERRORS more rules than a plan may have.
parsed<plan> plan_of_patterns(const std::vector<layer_patterns> & layers, const model_shape & model);

}  // namespace tmx
