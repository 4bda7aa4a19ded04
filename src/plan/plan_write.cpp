#include <string>
#include <utility>
#include <vector>

#include "plan/checked_json.h"
#include "plan/limits.h"
#include "plan/read_bands.h"
#include "trianglemix/plan.h"

namespace tmx {
namespace {

json model_to_json(const plan & p) {
    json model = json::object();
    if (!p.model.architecture.empty()) {
        model["architecture"] = p.model.architecture;
    }
    model["layers"] = p.layers.size();
    const auto put = [&](const char * key, int32_t value) {
        if (value > 0) {
            model[key] = value;
        }
    };
    put("heads", p.model.n_head);
    put("kv_heads", p.model.n_head_kv);
    put("head_dim", p.model.d_head);
    return model;
}

json heads_to_json(const plan & p) {
    json per_head = json::object();
    for (size_t layer = 0; layer < p.layers.size(); ++layer) {
        std::vector<int32_t> dense;
        const std::vector<uint8_t> & dense_head = p.layers[layer].dense_head;
        for (size_t head = 0; head < dense_head.size(); ++head) {
            if (dense_head[head] != 0) {
                dense.push_back(static_cast<int32_t>(head));
            }
        }
        if (p.layers[layer].kind == layer_kind::triangle && !dense.empty()) {
            per_head[std::to_string(layer)] = {{"dense_heads", format_layer_set(dense)}};
        }
    }
    return per_head;
}

// The layers of a rule, and its heads where it is not every head's.
struct rule_layers {
    std::vector<int32_t> layers;
    std::vector<int32_t> heads;
};

rule_layers layers_of_rule(const plan & p, int32_t number) {
    rule_layers found;
    for (size_t layer = 0; layer < p.layers.size(); ++layer) {
        const layer_plan & planned = p.layers[layer];
        std::vector<int32_t> heads;
        for (size_t head = 0; head < planned.head_dynamic.size(); ++head) {
            if (planned.head_dynamic[head] == number) {
                heads.push_back(static_cast<int32_t>(head));
            }
        }
        if (planned.dynamic == number || !heads.empty()) {
            found.layers.push_back(static_cast<int32_t>(layer));
            found.heads = std::move(heads);
        }
    }
    return found;
}

json dynamic_to_json(const plan & p) {
    json entries = json::array();
    for (size_t number = 0; number < p.dynamic.size(); ++number) {
        const selection_rule & rule = p.dynamic[number].selection;
        const selection_method & method = selection_method_of(rule.method);
        const rule_layers found = layers_of_rule(p, static_cast<int32_t>(number));
        if (found.layers.empty()) {
            continue;  // a rule of no layer says nothing
        }
        json entry = {{"method", method.name}};
        for (size_t i = 0; i < method.parameters.size(); ++i) {
            const selection_parameter & parameter = method.parameters[i];
            entry[std::string(parameter.name)] =
                parameter.whole ? json(static_cast<int64_t>(rule.values[i])) : json(rule.values[i]);
        }
        entry["layers"] = format_layer_set(found.layers);
        if (!found.heads.empty()) {
            entry["heads"] = format_layer_set(found.heads);
        }
        if (p.dynamic[number].min_tokens > 0) {
            entry["min_tokens"] = p.dynamic[number].min_tokens;
        }
        entries.push_back(std::move(entry));
    }
    return entries;
}

}  // namespace

std::string write_plan(const plan & p) {
    json dynamic = dynamic_to_json(p);
    json bands = bands_to_json(p);
    json file = {{"format", "trianglemix-plan"}, {"version", dynamic.empty() && bands.empty() && p.skip == 0 ? 1 : 2}};
    if (!p.name.empty()) {
        file["name"] = p.name;
    }
    file["model"] = model_to_json(p);
    file["sink"] = p.shape.n_sink;
    file["window"] = p.shape.n_window;
    file["last"] = p.shape.n_last;
    file["tail"] = name_of(p.tail);
    file["precision"] = name_of(p.arithmetic);

    if (p.skip > 0) {
        file["skip"] = p.skip;
    }

    std::vector<int32_t> triangle;
    for (size_t layer = 0; layer < p.layers.size(); ++layer) {
        if (p.layers[layer].kind == layer_kind::triangle) {
            triangle.push_back(static_cast<int32_t>(layer));
        }
    }
    file["triangle_layers"] = format_layer_set(triangle);
    if (!bands.empty()) {
        file["bands"] = std::move(bands);
    }
    json per_head = heads_to_json(p);
    if (!per_head.empty()) {
        file["per_head"] = std::move(per_head);
    }
    if (!dynamic.empty()) {
        file["dynamic"] = std::move(dynamic);
    }
    if (!p.provenance.empty()) {
        parsed<json> provenance =
            parse_checked_json(p.provenance, plan_limits::max_depth - 1, plan_limits::max_provenance_values);
        // Text that broke REQUIRES is kept as a note, so that the file stays readable and nothing is lost.
        file["provenance"] = provenance.ok() && provenance.value.is_object() ? std::move(provenance.value)
                                                                             : json{{"note", p.provenance}};
    }
    return file.dump(4, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace tmx
