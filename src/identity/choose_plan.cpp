#include "identity/choose_plan.h"

#include <algorithm>

#include "identity/presets.h"
#include "identity/windowed_layers.h"

namespace tmx {
namespace {

// "--layers 16-31 --dynamic stride:10@0-9"
std::string typed_layers(const plan_options & options) {
    const std::string layers = options.layers.empty() ? "" : "--layers " + options.layers;
    const std::string dynamic = options.dynamic.empty() ? "" : "--dynamic " + options.dynamic;
    return layers + (layers.empty() || dynamic.empty() ? "" : " ") + dynamic;
}

parsed<chosen_plan> plan_of_layers(const plan_options & options, const model_identity & model) {
    plan p;
    p.name = typed_layers(options);
    p.model = shape_of(model);
    p.layers.resize(static_cast<size_t>(model.n_layer));
    if (!options.layers.empty()) {
        const parsed<std::vector<int32_t>> layers = parse_layer_set(options.layers, model.n_layer);
        if (!layers.ok()) {
            return {{}, "--layers: " + layers.error};
        }
        for (const int32_t layer : layers.value) {
            p.layers[static_cast<size_t>(layer)].kind = layer_kind::triangle;
        }
    }
    if (!options.dynamic.empty()) {
        const parsed<std::vector<dynamic_layers>> rules = parse_dynamic_layers(options.dynamic, model.n_layer);
        if (!rules.ok()) {
            return {{}, "--dynamic: " + rules.error};
        }
        add_dynamic_layers(rules.value, p);
    }
    return {{.value = p, .source = typed_layers(options)}, ""};
}

bool names_plan(const plan_options & options) {
    return !options.reference.empty() || !options.text.empty();
}

// REQUIRES names_plan().
parsed<plan> read_named(const plan_options & options) {
    parsed<plan> read = options.text.empty() ? load_plan(options.reference) : parse_plan(options.text);
    if (!read.ok()) {
        read.error = (options.text.empty() ? "--plan " + options.reference : "the plan") + ": " + read.error;
    }
    return read;
}

parsed<chosen_plan> named_plan(const plan_options & options, const model_identity & model) {
    const parsed<plan> read = read_named(options);
    if (!read.ok()) {
        return {{}, read.error};
    }
    const std::string source = options.text.empty() ? options.reference : read.value.name;
    const std::string mismatch = plan_mismatch(read.value, shape_of(model));
    if (!mismatch.empty()) {
        return {{}, "--plan " + source + " does not fit " + show_model(model) + ": " + mismatch};
    }
    return {{.value = read.value, .source = source, .note = other_model_note(source, model)}, ""};
}

parsed<chosen_plan> untouched_plan(const plan_options & options, const model_identity & model) {
    if (names_plan(options)) {
        return named_plan(options, model);
    }
    if (options.types_layers()) {
        return plan_of_layers(options, model);
    }
    if (options.exact) {
        return {{.source = "exact"}, ""};
    }
    return own_preset(model);
}

}  // namespace

int64_t chosen_plan::n_planned() const {
    return std::count_if(value.layers.begin(), value.layers.end(),
                         [](const layer_plan & layer) { return layer != layer_plan{}; });
}

bool chosen_plan::any_dynamic() const {
    return std::any_of(value.layers.begin(), value.layers.end(),
                       [](const layer_plan & layer) { return layer.is_dynamic(); });
}

std::string chosen_plan::layers() const {
    std::vector<int32_t> indices;
    std::vector<int32_t> dynamic;
    for (size_t i = 0; i < value.layers.size(); ++i) {
        if (value.layers[i].kind == layer_kind::triangle) {
            indices.push_back(static_cast<int32_t>(i));
        }
        if (value.layers[i].is_dynamic()) {
            dynamic.push_back(static_cast<int32_t>(i));
        }
    }
    const std::string more =
        dynamic.empty() ? "" : "; " + std::to_string(dynamic.size()) + " dynamic: " + format_layer_set(dynamic);
    return std::to_string(indices.size()) + " of " + std::to_string(value.layers.size()) +
           " layers triangle: " + format_layer_set(indices) + more;
}

parsed<chosen_plan> plan_for_model(const plan_options & options, const model_identity & model, bool length_known) {
    parsed<chosen_plan> result = untouched_plan(options, model);
    if (!result.ok()) {
        return result;
    }
    chosen_plan & chosen = result.value;
    const std::vector<int32_t> left = leave_windowed_layers(chosen.value, model.windows);
    if (!left.empty()) {
        chosen.note += (chosen.note.empty() ? "" : "; ") + windows_note(model.windows, left);
    }
    chosen.sparse = chosen.value.any_sparse();
    chosen.value.shape.n_sink = options.sink.value_or(chosen.value.shape.n_sink);
    chosen.value.shape.n_window = options.window.value_or(chosen.value.shape.n_window);
    chosen.value.shape.n_last = options.last.value_or(chosen.value.shape.n_last);
    if (!options.tail.empty()) {
        const parsed<tail_policy> tail = parse_tail_policy(options.tail);
        if (!tail.ok()) {
            return {{}, "--tail: " + tail.error};
        }
        chosen.value.tail = tail.value;
    } else if (length_known) {
        chosen.value.tail = tail_policy::prompt;
    }
    if (!options.precision.empty()) {
        const parsed<precision> arithmetic = parse_precision(options.precision);
        if (!arithmetic.ok()) {
            return {{}, "--precision: " + arithmetic.error};
        }
        chosen.value.arithmetic = arithmetic.value;
    }
    return result;
}

parsed<model_identity> model_of_plan(const plan_options & options) {
    if (!names_plan(options)) {
        return {{}, "without a model file its plan cannot be looked for: name the file, or a plan"};
    }
    const parsed<plan> read = read_named(options);
    if (!read.ok()) {
        return {{}, read.error};
    }
    model_identity model;
    model.architecture = read.value.model.architecture;
    model.n_layer = read.value.model.n_layer;
    model.n_head = read.value.model.n_head;
    model.n_head_kv = read.value.model.n_head_kv;
    model.d_head = read.value.model.d_head;
    return {std::move(model), ""};
}

std::string length_note(const plan & p, int64_t n_tokens, const std::string & what) {
    const int64_t measured = measured_length(p);
    if (!far_beyond(n_tokens, measured)) {
        return "";
    }
    const std::string tokens = std::to_string(n_tokens);
    return "the plan was measured on prompts of up to " + std::to_string(measured) + " tokens, " + what + " is " +
           tokens + ": what it does to answers there is not known (trianglemix profile --length " + tokens +
           " measures it)";
}

}  // namespace tmx
