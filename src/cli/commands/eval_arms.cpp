#include "cli/commands/eval_arms.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "cli/arms.h"
#include "measure/random_source.h"
#include "runtime/failure.h"
#include "trianglemix/backend_control.h"

namespace tmx {

const char * const k_arm_help = R"(
Arms: dense          exact attention by our kernels: what all others are compared with, always there
      plan           the plan of --plan, --layers and --dynamic, or the preset of this very model
      FILE.json, preset:NAME    another plan
      20-27          these layers triangle; upper:8 the last 8 layers, random:8#2 any 8 of them, by that seed
      xattention:16,0.9@0-19    blocks selected in these layers, as TRIANGLEMIX_DYNAMIC says it
      20-27+xattention:16,0.9@0-19    both
      noise          dense with half the ubatch: what rounding alone does
      stock          llama.cpp alone, with flash attention
      all-triangle, a-shape     every layer triangle; and without dense last rows. A suite that sees no damage there
                     measures nothing
NAME=ARM names an arm. In --arms commas separate arms; an arm that has commas itself goes into --arm.
)";

namespace {

// The count behind "upper:" or "random:".
int32_t count_of(const std::string & typed, const std::string & number, int32_t n_layer) {
    int32_t value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc() || end != number.data() + number.size() || value < 1 || value > n_layer) {
        throw failure(fmt::format("arm {}: expected a number of layers from 1 to {}", typed, n_layer));
    }
    return value;
}

std::string random_layers(const std::string & typed, const std::string & arguments, int32_t n_layer) {
    const size_t hash = arguments.find('#');
    const int32_t n = count_of(typed, arguments.substr(0, hash), n_layer);
    uint64_t seed = 1;
    if (hash != std::string::npos) {
        const std::string number = arguments.substr(hash + 1);
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), seed);
        if (error != std::errc() || end != number.data() + number.size()) {
            throw failure(fmt::format("arm {}: expected a whole number behind #", typed));
        }
    }
    random_source random(seed);
    std::vector<int32_t> layers(static_cast<size_t>(n_layer));
    for (size_t i = 0; i < layers.size(); ++i) {
        layers[i] = static_cast<int32_t>(i);
    }
    for (size_t i = layers.size(); i > 1; --i) {
        std::swap(layers[i - 1], layers[random.below(i)]);
    }
    layers.resize(static_cast<size_t>(n));
    std::sort(layers.begin(), layers.end());
    return format_layer_set(layers);
}

// What the arm's plan is, as options say it.
plan_options plan_options_of(const std::string & typed, const plan_options & plans, int32_t n_layer) {
    if (typed == "plan") {
        return plans;
    }
    plan_options options = plans;
    options.reference.clear();
    options.layers.clear();
    options.dynamic.clear();
    options.exact = false;
    if (typed == "all-triangle" || typed == "a-shape") {
        options.layers = "all";
        if (typed == "a-shape") {
            options.last = 0;
        }
    } else if (typed.starts_with("upper:")) {
        const int32_t n = count_of(typed, typed.substr(6), n_layer);
        options.layers = fmt::format("{}-{}", n_layer - n, n_layer - 1);
    } else if (typed.starts_with("random:")) {
        options.layers = random_layers(typed, typed.substr(7), n_layer);
    } else if (typed.starts_with("preset:") || typed.ends_with(".json")) {
        options.reference = typed;
    } else if (typed.find('@') != std::string::npos) {
        const size_t plus = typed.find('+');
        options.layers = plus == std::string::npos ? "" : typed.substr(0, plus);
        options.dynamic = plus == std::string::npos ? typed : typed.substr(plus + 1);
    } else {
        options.layers = typed;
    }
    return options;
}

bool is_name(const std::string & text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_' ||
               c == '.' || c == ' ';
    });
}

eval_arm arm_of(const std::string & name, const std::string & typed, const plan_options & plans,
                const context_options & context, const model_facts & facts) {
    const prompt_setup setup{{}, context};
    eval_arm a;
    if (typed == "dense" || typed == "noise") {
        a.computed = exact_arm(setup);
        a.role = typed == "dense" ? arm_role::reference : arm_role::noise;
        a.label = "exact attention";
        if (typed == "noise") {
            a.computed.context.n_ubatch = std::max(context.n_ubatch / 2, TMX_DEFAULT_MIN_ROWS);
            a.label = fmt::format("exact attention, ubatch {}", a.computed.context.n_ubatch);
        }
    } else if (typed == "stock") {
        a.computed = stock_arm(setup, {true, context.n_ubatch});
        a.role = arm_role::noise;
        a.label = "llama.cpp alone, flash attention";
    } else {
        chosen_plan chosen;
        try {
            chosen = choose_plan(plan_options_of(typed, plans, facts.n_layer), facts, true);
        } catch (const failure & error) {
            throw failure(fmt::format("arm {}: {}", typed, error.what()));
        }
        if (!chosen.sparse) {
            throw failure(fmt::format("arm {} has no plan: {}. Give --plan, --layers or --dynamic, or leave it out.",
                                      typed, chosen.note.empty() ? "none was chosen" : chosen.note));
        }
        a.computed = planned_arm(setup, chosen);
        a.applied = chosen.value;
        a.label = chosen.layers();
        a.role = typed == "all-triangle" || typed == "a-shape" ? arm_role::negative : arm_role::candidate;
    }
    a.name = name;
    a.computed.name = name;
    return a;
}

}  // namespace

std::vector<eval_arm> arms_of(const std::vector<std::string> & typed, const plan_options & plans,
                              const context_options & context, const model_facts & facts) {
    std::vector<eval_arm> arms = {arm_of("dense", "dense", plans, context, facts)};
    for (const std::string & each : typed) {
        const size_t equals = each.find('=');
        const bool named = equals != std::string::npos && is_name(each.substr(0, equals));
        const std::string name = named ? each.substr(0, equals) : each;
        if (std::none_of(arms.begin(), arms.end(), [&](const eval_arm & a) { return a.name == name; })) {
            arms.push_back(arm_of(name, named ? each.substr(equals + 1) : each, plans, context, facts));
        }
    }
    // All arms cut a prompt into the same chunks.
    int64_t min_last = 0;
    for (const eval_arm & a : arms) {
        min_last = std::max(min_last, a.computed.min_last);
    }
    // ... and computes in the same arithmetic.
    for (eval_arm & a : arms) {
        a.computed.min_last = min_last;
        a.computed.precision = plans.precision.empty() ? "exact" : plans.precision;
    }
    return arms;
}

}  // namespace tmx
