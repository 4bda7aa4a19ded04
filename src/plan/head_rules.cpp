#include "trianglemix/head_rules.h"

#include <algorithm>
#include <utility>

namespace tmx {
namespace {

// The number among `rules` of the plan's rule `planned`; it is added if it is not there.
int32_t number_in(std::vector<dynamic_rule> & rules, const dynamic_rule & planned) {
    const auto found = std::find(rules.begin(), rules.end(), planned);
    if (found != rules.end()) {
        return static_cast<int32_t>(found - rules.begin());
    }
    rules.push_back(planned);
    return static_cast<int32_t>(rules.size() - 1);
}

// Ascending by min_tokens; `of_head` counts in them.
void sort_rules(std::vector<dynamic_rule> & rules, std::vector<int32_t> & of_head) {
    std::vector<int32_t> order(rules.size());
    for (size_t i = 0; i < order.size(); ++i) {
        order[i] = static_cast<int32_t>(i);
    }
    const auto at = [&](int32_t number) -> const dynamic_rule & { return rules[static_cast<size_t>(number)]; };
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return at(a).min_tokens < at(b).min_tokens; });
    std::vector<dynamic_rule> sorted;
    std::vector<int32_t> place(rules.size());
    for (const int32_t number : order) {
        place[static_cast<size_t>(number)] = static_cast<int32_t>(sorted.size());
        sorted.push_back(at(number));
    }
    for (int32_t & rule : of_head) {
        rule = rule >= 0 ? place[static_cast<size_t>(rule)] : rule;
    }
    rules = std::move(sorted);
}

layer_heads compile(const plan & p, const layer_plan & planned) {
    layer_heads heads;
    heads.banded = planned.kind == layer_kind::triangle;
    if (heads.banded) {
        heads.own = planned.own;
        heads.dense_head = planned.dense_head;
    }
    const auto exempt = [&](size_t head) { return !heads.dense_head.empty() && heads.dense_head[head] != 0; };
    if (planned.dynamic >= 0) {
        heads.rules = {p.dynamic[static_cast<size_t>(planned.dynamic)]};
        heads.rule_of_head.resize(heads.dense_head.size());
        for (size_t head = 0; head < heads.rule_of_head.size(); ++head) {
            heads.rule_of_head[head] = exempt(head) ? k_keeps_all : 0;
        }
    } else {
        for (size_t head = 0; head < planned.head_dynamic.size(); ++head) {
            const int32_t rule = planned.head_dynamic[head];
            heads.rule_of_head.push_back(rule >= 0      ? number_in(heads.rules, p.dynamic[static_cast<size_t>(rule)])
                                         : exempt(head) ? k_keeps_all
                                                        : heads.otherwise());
        }
        sort_rules(heads.rules, heads.rule_of_head);
        if (heads.rules.empty()) {
            heads.rule_of_head.clear();
        }
    }
    return heads;
}

}  // namespace

size_t layer_heads::n_in_force(int64_t n_keys) const {
    const auto none =
        std::find_if(rules.begin(), rules.end(), [&](const dynamic_rule & rule) { return n_keys < rule.min_tokens; });
    return static_cast<size_t>(none - rules.begin());
}

bool layer_heads::fits(int64_t n_head) const {
    return (dense_head.empty() || static_cast<int64_t>(dense_head.size()) == n_head) &&
           (rule_of_head.empty() || static_cast<int64_t>(rule_of_head.size()) == n_head);
}

bool layer_heads::does_the_same(const layer_heads & other) const {
    return banded == other.banded && own == other.own && rules == other.rules && rule_of_head == other.rule_of_head &&
           dense_head == other.dense_head;
}

compiled_rules::compiled_rules(const plan & p) : heads_(1) {
    for (const layer_plan & planned : p.layers) {
        layer_heads heads = compile(p, planned);
        const auto known = std::find_if(heads_.begin(), heads_.end(),
                                        [&](const layer_heads & other) { return other.does_the_same(heads); });
        if (known != heads_.end()) {
            layers_.push_back(known->id);
            continue;
        }
        heads.id = static_cast<int32_t>(heads_.size());
        layers_.push_back(heads.id);
        heads_.push_back(std::move(heads));
    }
}

const layer_heads & compiled_rules::part_of(const layer_heads & all, const head_range & range) {
    if (range.whole() || !all.by_head()) {
        return all;
    }
    layer_heads part = all;
    const auto cut = [&](auto & of_all) {
        if (!of_all.empty()) {
            of_all = {of_all.begin() + range.first, of_all.begin() + range.first + range.n};
        }
    };
    cut(part.dense_head);
    cut(part.rule_of_head);
    const auto known = std::find_if(parts_.begin(), parts_.end(),
                                    [&](const layer_heads & other) { return other.does_the_same(part); });
    if (known != parts_.end()) {
        return *known;
    }
    part.id = static_cast<int32_t>(heads_.size() + parts_.size());
    return parts_.emplace_back(std::move(part));
}

const layer_heads & compiled_rules::of_layer(int32_t layer) const {
    const auto at = static_cast<size_t>(layer);
    return heads_[layer >= 0 && at < layers_.size() ? static_cast<size_t>(layers_[at]) : 0];
}

}  // namespace tmx
