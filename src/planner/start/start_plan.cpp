#include "planner/start/start_plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "measure/hash.h"
#include "profile/policy.h"
#include "profile/unit_set.h"

namespace tmx {
namespace {

std::string why_no_start(const plan & value, const model_shape & model, const triangle_shape & shape) {
    std::string mismatch = plan_mismatch(value, model);
    if (!mismatch.empty()) {
        return mismatch;
    }
    const bool other =
        value.skip > 0 || std::any_of(value.layers.begin(), value.layers.end(),
                                      [](const layer_plan & l) { return l.is_dynamic() || l.own.any(); });
    if (other || !value.any_triangle()) {
        return "mixes start from triangle layers and heads, and nothing else";
    }
    if (value.shape.n_sink != shape.n_sink || value.shape.n_window != shape.n_window ||
        value.shape.n_last != shape.n_last) {
        return fmt::format("its sink, window and last are {}, {} and {}, here they are {}, {} and {}",
                           value.shape.n_sink, value.shape.n_window, value.shape.n_last, shape.n_sink, shape.n_window,
                           shape.n_last);
    }
    return "";
}

std::string hash_of_layers(const plan & value) {
    plan layers;
    layers.model = value.model;
    layers.layers = value.layers;
    return sha256_of_text(write_plan(layers));
}

void make_dense(layer_plan & layer, int32_t head, int32_t n_head) {
    if (head >= 0) {
        layer.dense_head.resize(static_cast<size_t>(n_head));
        layer.dense_head[static_cast<size_t>(head)] = 1;
    }
    if (std::find(layer.dense_head.begin(), layer.dense_head.end(), 0) == layer.dense_head.end()) {
        layer = {};
    }
}

}  // namespace

start_plan make_start(const std::string & file, const plan & value, const model_shape & model,
                      const triangle_shape & shape) {
    const std::string why = why_no_start(value, model, shape);
    if (!why.empty()) {
        throw contradiction(fmt::format("--start {}: {}", file, why));
    }
    start_plan start{file, "", value};
    start.value.model = model;
    start.value.layers.resize(static_cast<size_t>(model.n_layer));
    start.sha256 = hash_of_layers(start.value);
    return start;
}

std::vector<unit> units_of(const start_plan & start) {
    std::vector<unit> units;
    for (const unit & u : all_units(start.value.model, start.value.model.n_head > 0)) {
        const layer_plan & layer = start.value.layers[static_cast<size_t>(u.layer)];
        const bool dense = layer.kind == layer_kind::dense ||
                           (!layer.dense_head.empty() && layer.dense_head[static_cast<size_t>(u.head)] != 0);
        if (!dense) {
            units.push_back(u);
        }
    }
    return units;
}

start_plan start_without(const start_plan & start, std::span<const unit> given_back) {
    start_plan made = start;
    for (const unit & u : given_back) {
        make_dense(made.value.layers[static_cast<size_t>(u.layer)], u.head, made.value.model.n_head);
    }
    made.sha256 = hash_of_layers(made.value);
    return made;
}

start_plan start_of_only(const start_plan & start, std::span<const unit> kept) {
    std::vector<unit> others = units_of(start);
    std::erase_if(others, [&](const unit & u) { return std::find(kept.begin(), kept.end(), u) != kept.end(); });
    return start_without(start, others);
}

std::string text_of_start(const start_plan & start, const std::vector<unit> & given_back) {
    if (given_back.empty()) {
        return "start";
    }
    std::vector<unit> layer = units_of(start);
    std::erase_if(layer, [&](const unit & u) { return u.layer != given_back.front().layer; });
    if (given_back == layer) {
        return fmt::format("start without layer {}", layer.front().layer);
    }
    if (given_back.size() == 1) {
        return fmt::format("start without head {} of layer {}", given_back.front().head, given_back.front().layer);
    }
    return "start without " + format_units(given_back);
}

}  // namespace tmx
