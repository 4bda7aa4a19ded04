#include "profile/policy.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "identity/windowed_layers.h"
#include "probe/model_file.h"
#include "profile/prompt_check.h"
#include "profile/unit_set.h"

namespace tmx {
namespace {

constexpr int64_t k_samples = 2;
constexpr int64_t k_quick_samples = 1;
constexpr int64_t k_check_samples = 1;
constexpr double k_kl_budget = 0.01;

std::string method_of(const asked_method & asked, const probe_verdict & probe, std::vector<std::string> & notes) {
    if (!asked.method.empty()) {
        return asked.method;
    }
    if (asked.set_given) {
        return "none";
    }
    const bool needs_gradients = !asked.score.empty() && asked.score != "ablation";
    if (needs_gradients || probe.computes) {
        return "gradient";
    }
    if (probe.reason.empty()) {
        throw failure(probe.refusal);
    }
    notes.push_back(probe.reason + ", so there are no gradients: each layer alone is measured in llama.cpp");
    return "ablation";
}

std::vector<unit> units_of_layers(const std::string & text, int32_t n_layer) {
    std::vector<unit> units;
    for (const int32_t layer : value_of(parse_layer_set(text, n_layer), "--layers: ")) {
        units.push_back({layer, -1});
    }
    return units;
}

}  // namespace

prompt_settings settle_prompts(prompt_settings asked, std::optional<int64_t> samples,
                               std::optional<int64_t> check_samples, bool quick) {
    asked.samples = samples.value_or(quick ? k_quick_samples : k_samples);
    asked.check_samples = check_samples.value_or(k_check_samples);
    if (asked.data.empty() && asked.kinds.empty()) {
        asked.kinds.assign(std::begin(k_all_kinds), std::end(k_all_kinds));
    }
    return asked;
}

std::vector<int64_t> settle_lengths(const profile_settings & settings, int64_t n_ctx_train) {
    std::vector<int64_t> lengths = settings.prompts.lengths;
    if (lengths.empty()) {
        lengths = default_lengths(settings, n_ctx_train);
    }
    if (!settings.prompts.kinds.empty()) {
        for (const int64_t length : lengths) {
            check_fits("--length", length, settings, n_ctx_train);
        }
        for (const int64_t length : settings.prompts.check_lengths) {
            check_fits("--check-length", length, settings, n_ctx_train);
        }
    }
    return lengths;
}

probe_verdict ask_probe(const std::string & model_path) {
    try {
        static_cast<void>(model_file(model_path));
    } catch (const not_probed & error) {
        return {false, error.reason(), error.what()};
    } catch (const failure & error) {
        return {false, "", error.what()};
    }
    return {true, "", ""};
}

settled_method settle_method(const asked_method & asked, const probe_verdict & probe) {
    settled_method settled;
    const std::string method = method_of(asked, probe, settled.notes);
    settled.gradient = method == "gradient" || method == "both";
    settled.ablation = method == "ablation" || method == "both";
    if (!asked.ablate_in.empty() && !settled.ablation) {
        throw contradiction("--ablate-in needs --method ablation or both");
    }
    settled.score = !asked.score.empty() ? asked.score : settled.ablation ? "ablation" : "contribution";
    if (!asked.set_given && !(settled.score == "ablation" ? settled.ablation : settled.gradient)) {
        throw contradiction("layers cannot be ordered by '" + settled.score + "', which --method " + method +
                            " does not measure");
    }
    if ((settled.gradient || asked.ablate_in == name_of(ablation_place::probe)) && !probe.computes) {
        throw failure(probe.refusal);
    }
    if (settled.ablation && asked.ablate_in != name_of(ablation_place::llama_cpp)) {
        settled.ablate_in = probe.computes ? ablation_place::probe : ablation_place::llama_cpp;
        // Where the method was left open, too, there is a note already.
        if (!probe.computes && !asked.method.empty()) {
            settled.notes.emplace_back(
                "the probe cannot compute this file (--ablate-in probe says why), so each layer alone is a whole "
                "prefill in llama.cpp");
        }
    }
    return settled;
}

bool uses_probe(const profile_settings & settings) {
    return settings.gradient || (settings.ablation && settings.ablate_in == ablation_place::probe);
}

settled_size settle_size(const asked_size & asked, int64_t check_samples) {
    if (asked.set_given) {
        return {choose_by::given, 0};
    }
    if (asked.count) {
        return {choose_by::count, static_cast<double>(*asked.count)};
    }
    if (asked.threshold) {
        return {choose_by::threshold, *asked.threshold};
    }
    if (check_samples == 0) {
        throw contradiction("--kl-budget needs prompts that are kept back to check it: --check-samples 1 or more");
    }
    return {choose_by::kl_budget, asked.kl_budget.value_or(k_kl_budget)};
}

std::string settle_set(profile_settings & settings, const std::string & layers, const model_facts & facts) {
    const bool given = settings.how == choose_by::given;
    const model_shape shape = shape_of(facts);
    const std::vector<unit> units = given ? units_of_layers(layers, facts.n_layer) : all_units(shape, false);
    plan asked = plan_of_units(units, shape, settings.shape);
    const std::vector<int32_t> left = leave_windowed_layers(asked, facts.windows);
    std::string note;
    if (!left.empty()) {
        note = windows_note(facts.windows, left);
        if (!asked.any_triangle()) {
            throw failure(note + "; there are no others to choose");
        }
    }
    if (given) {
        settings.given.clear();
        for (const unit & u : units) {
            if (asked.layers[static_cast<size_t>(u.layer)].kind == layer_kind::triangle) {
                settings.given.push_back(u.layer);
            }
        }
        settings.value = static_cast<double>(settings.given.size());
    }
    return note;
}

void check_count(const profile_settings & settings, const model_facts & facts) {
    const size_t n_all = all_units(shape_of(facts), settings.per_head).size();
    const size_t n_units = all_units(shape_of(facts), settings.per_head, facts.windows).size();
    if (settings.how == choose_by::count && settings.value > static_cast<double>(n_units)) {
        throw failure(fmt::format("--select {:.0f}: the model has {} {}{}", settings.value, n_units,
                                  settings.per_head ? "heads" : "layers",
                                  n_units == n_all ? "" : " that see the whole prompt"));
    }
}

std::vector<environment_variable> measuring_environment(const std::string & device, bool probing) {
    // On a GPU the backend leaves short prompts alone, because they gain nothing: every set would look harmless there.
    std::vector<environment_variable> variables = {{"TRIANGLEMIX_MIN_KEYS", "1"}};
    if (!device.empty() && probing) {
        // ggml's CUDA backend multiplies f32 matrices in TF32, which keeps 10 bits of each factor: too few for
        // derivatives, and for telling a harmless layer. cuBLAS has this switch for it.
        variables.push_back({"NVIDIA_TF32_OVERRIDE", "0"});
    }
    return variables;
}

}  // namespace tmx
