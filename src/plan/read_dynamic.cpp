#include "plan/read_dynamic.h"

#include <algorithm>
#include <set>
#include <vector>

#include "plan/dynamic_text.h"
#include "plan/index_set.h"
#include "plan/limits.h"
#include "plan/object_reader.h"

namespace tmx {
namespace {

void read_parameter(object_reader & entry, const selection_parameter & parameter, double & value) {
    const std::string key(parameter.name);
    if (!parameter.whole) {
        entry.number(key.c_str(), parameter.least, parameter.most, value);
        return;
    }
    auto whole = static_cast<int64_t>(value);
    entry.integer(key.c_str(), false, static_cast<int64_t>(parameter.least), static_cast<int64_t>(parameter.most),
                  whole);
    value = static_cast<double>(whole);
}

selection_rule read_rule(object_reader & entry) {
    int32_t method = 0;
    entry.word("method", true, "a string such as \"stride\"", method, parse_method);
    selection_rule rule = usual_rule(method);
    std::vector<std::string_view> keys = {"method", "layers", "heads", "min_tokens"};
    const std::span<const selection_parameter> parameters = selection_method_of(method).parameters;
    for (const selection_parameter & parameter : parameters) {
        keys.push_back(parameter.name);
    }
    entry.allow_only(keys);
    for (size_t i = 0; i < parameters.size(); ++i) {
        read_parameter(entry, parameters[i], rule.values[i]);
    }
    return rule;
}

std::string entry_path(size_t number) {
    return "dynamic[" + std::to_string(number) + "]";
}

// What is read of an entry besides its rule, and put into the plan as rule `number`.
class entry_layers {
  public:
    entry_layers(object_reader & entry, size_t number, plan & p) : entry_(entry), number_(number), plan_(p) {
        entry.word("layers", true, "a string such as \"0-9\"", layers_,
                   [&](const std::string & text) { return parse_layer_set(text, p.model.n_layer); });
        if (entry.ok() && layers_.empty()) {
            entry.fail(path("layers"), "names no layer; leave the entry out");
        }
        if (entry.find("heads", false) != nullptr) {
            read_heads();
        }
    }

    void add() const {
        for (const int32_t layer : layers_) {
            add_to(layer, plan_.layers[static_cast<size_t>(layer)]);
        }
    }

  private:
    std::string path(const char * key) const { return entry_path(number_) + "." + key; }

    void read_heads() {
        if (plan_.model.n_head == 0) {
            entry_.fail(path("heads"), "needs model.heads, which is missing");
            return;
        }
        entry_.word("heads", false, "a string such as \"0-3,7\"", heads_, [&](const std::string & text) {
            return parse_index_set(text, plan_.model.n_head, plan_limits::max_heads, "head");
        });
        if (entry_.ok() && heads_.empty()) {
            entry_.fail(path("heads"), "names no head; leave the entry out");
        }
        if (entry_.ok() && heads_.size() == static_cast<size_t>(plan_.model.n_head)) {
            entry_.fail(path("heads"), "names every head; leave the key out instead");
        }
    }

    void fail_twice(const std::string & what, int32_t other) const {
        entry_.fail(path("layers"), what + " is in " + entry_path(static_cast<size_t>(other)) + " already");
    }

    void add_to(int32_t layer, layer_plan & target) const {
        const std::string name = "layer " + std::to_string(layer);
        const auto number = static_cast<int32_t>(number_);
        if (target.dynamic >= 0 || (heads_.empty() && !target.head_dynamic.empty())) {
            const auto first = std::find_if(target.head_dynamic.begin(), target.head_dynamic.end(),
                                            [](int32_t rule) { return rule >= 0; });
            fail_twice(name, target.dynamic >= 0 ? target.dynamic : *first);
            return;
        }
        if (heads_.empty()) {
            target.dynamic = number;
            return;
        }
        target.head_dynamic.resize(static_cast<size_t>(plan_.model.n_head), -1);
        for (const int32_t head : heads_) {
            int32_t & rule = target.head_dynamic[static_cast<size_t>(head)];
            if (rule >= 0) {
                fail_twice("head " + std::to_string(head) + " of " + name, rule);
            }
            rule = number;
        }
        const std::set<int32_t> rules(target.head_dynamic.begin(), target.head_dynamic.end());
        if (rules.size() - rules.count(-1) > k_most_rules) {
            entry_.fail(path("layers"), name + " is in more than " + std::to_string(k_most_rules) + " entries");
        }
    }

    object_reader & entry_;
    size_t number_;
    plan & plan_;
    std::vector<int32_t> layers_;
    std::vector<int32_t> heads_;  // empty: every head
};

}  // namespace

void read_dynamic(const json & value, plan & p, std::string & error) {
    if (!error.empty()) {
        return;
    }
    if (!value.is_array()) {
        error = "dynamic: found " + shown(value) + ", expected an array";
        return;
    }
    if (value.empty()) {
        error = "dynamic: names no layer; leave it out";
        return;
    }
    if (value.size() > plan_limits::max_rules) {
        error = "dynamic: found " + std::to_string(value.size()) + " entries, at most " +
                std::to_string(plan_limits::max_rules);
        return;
    }
    for (size_t i = 0; i < value.size(); ++i) {
        object_reader entry(value[i], entry_path(i), error);
        dynamic_rule rule;
        if (entry.ok()) {
            rule.selection = read_rule(entry);
            entry.integer("min_tokens", false, 0, plan_limits::max_tokens, rule.min_tokens);
        }
        const entry_layers layers(entry, i, p);
        if (entry.ok()) {
            layers.add();
        }
        if (!entry.ok()) {
            return;
        }
        p.dynamic.push_back(rule);
    }
}

}  // namespace tmx
