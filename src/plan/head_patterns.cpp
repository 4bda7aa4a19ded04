#include "trianglemix/head_patterns.h"

#include <algorithm>
#include <string>
#include <utility>

#include "plan/limits.h"

namespace tmx {
namespace {

bool is_a_shape(const head_pattern & pattern) {
    return pattern.is == head_pattern::kind::a_shape;
}

// The rules of a plan, each of one set of heads, as its file has them.
class rule_list {
  public:
    explicit rule_list(plan & p) : plan_(p) {}

    int32_t number_of(const selection_rule & rule, const std::vector<int32_t> & heads) {
        const auto known = std::find(known_.begin(), known_.end(), std::pair(rule, heads));
        if (known != known_.end()) {
            return static_cast<int32_t>(known - known_.begin());
        }
        known_.emplace_back(rule, heads);
        plan_.dynamic.push_back({rule, 0});
        return static_cast<int32_t>(known_.size()) - 1;
    }

  private:
    plan & plan_;
    std::vector<std::pair<selection_rule, std::vector<int32_t>>> known_;
};

void add_band(const std::vector<head_pattern> & heads, layer_plan & layer) {
    for (const head_pattern & pattern : heads) {
        if (is_a_shape(pattern)) {
            layer.kind = layer_kind::triangle;
            layer.own.n_sink = larger(layer.own.n_sink, pattern.first);
            layer.own.n_window = larger(layer.own.n_window, pattern.second);
        }
    }
}

// Returns how many rules the layer has.
size_t add_rules(const std::vector<head_pattern> & heads, rule_list & rules, layer_plan & layer) {
    std::vector<std::pair<head_pattern, std::vector<int32_t>>> groups;
    for (size_t head = 0; head < heads.size(); ++head) {
        if (is_a_shape(heads[head])) {
            continue;
        }
        auto group =
            std::find_if(groups.begin(), groups.end(), [&](const auto & each) { return each.first == heads[head]; });
        if (group == groups.end()) {
            group = groups.insert(group, {heads[head], {}});
        }
        group->second.push_back(static_cast<int32_t>(head));
    }
    if (groups.size() == 1 && groups.front().second.size() == heads.size()) {
        layer.dynamic = rules.number_of(rule_of_pattern(groups.front().first), {});
        return 1;
    }
    layer.head_dynamic.assign(groups.empty() ? 0 : heads.size(), -1);
    for (const auto & [pattern, members] : groups) {
        const int32_t number = rules.number_of(rule_of_pattern(pattern), members);
        for (const int32_t head : members) {
            layer.head_dynamic[static_cast<size_t>(head)] = number;
        }
    }
    return groups.size();
}

}  // namespace

selection_rule rule_of_pattern(const head_pattern & pattern) {
    selection_rule rule = usual_rule(*find_selection_method("vertical_slash"));
    rule.values[0] = pattern.first;
    rule.values[1] = pattern.second;
    return rule;
}

parsed<plan> plan_of_patterns(const std::vector<layer_patterns> & layers, const model_shape & model) {
    plan p;
    p.model = model;
    p.layers.resize(static_cast<size_t>(model.n_layer));
    rule_list rules(p);
    for (const layer_patterns & each : layers) {
        layer_plan & layer = p.layers[static_cast<size_t>(each.layer)];
        add_band(each.heads, layer);
        if (add_rules(each.heads, rules, layer) > k_most_rules) {
            return {{},
                    "heads of layer " + std::to_string(each.layer) + " differ so much that it needs more than " +
                        std::to_string(k_most_rules) + " rules"};
        }
    }
    if (p.dynamic.size() > plan_limits::max_rules) {
        return {{},
                "heads differ so much that the plan needs " + std::to_string(p.dynamic.size()) +
                    " rules; it may have " + std::to_string(plan_limits::max_rules)};
    }
    return {std::move(p), ""};
}

}  // namespace tmx
