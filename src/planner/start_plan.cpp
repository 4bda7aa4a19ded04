#include "planner/start_plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "measure/hash.h"
#include "profile/policy.h"

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
    plan layers;
    layers.model = model;
    layers.layers = start.value.layers;
    start.sha256 = sha256_of_text(write_plan(layers));
    return start;
}

}  // namespace tmx
