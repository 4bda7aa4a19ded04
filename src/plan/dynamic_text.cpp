#include "plan/dynamic_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plan/limits.h"
#include "plan/quote.h"

namespace tmx {
namespace {

constexpr selection_parameter k_min_tokens{
    .name = "min_tokens", .least = 0, .most = plan_limits::max_tokens, .usual = 0, .whole = true};

// The shortest decimal number that is read back as this value.
std::string shortest(double value) {
    std::array<char, 32> text{};
    const auto [end, problem] = std::to_chars(text.data(), text.data() + text.size(), value);
    return {text.data(), end};
}

std::string shown_as(const selection_parameter & parameter, double value) {
    return parameter.whole ? std::to_string(static_cast<int64_t>(value)) : shortest(value);
}

// The texts between separators, at least one.
std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(separator, begin), text.size());
        parts.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

// Reads the values behind a method's name. `error` is the first one.
class value_reader {
  public:
    value_reader(dynamic_rule & rule, std::string & error)
        : rule_(rule), error_(error), parameters_(selection_method_of(rule.selection.method).parameters) {}

    // "16:0.9": as many as are wanted, in the parameters' order.
    void read_in_order(std::string_view text) {
        size_t n_values = 0;
        for (const std::string_view value : split(text, ':')) {
            if (n_values == parameters_.size()) {
                error_ = "more values than the method has parameters, of which there are " +
                         std::to_string(parameters_.size());
            }
            if (!error_.empty()) {
                return;
            }
            read(parameters_[n_values], value, rule_.selection.values[n_values]);
            ++n_values;
        }
    }

    // "stride=16,tau=0.9"
    void read_named(std::string_view text) {
        for (const std::string_view each : split(text, ',')) {
            const size_t equals = std::min(each.find('='), each.size());
            const std::string_view name = each.substr(0, equals);
            if (error_.empty() && !named_.insert(name).second) {
                error_ = quote(name) + " is given twice";
            }
            if (!error_.empty()) {
                return;
            }
            read_one(name, each.substr(std::min(equals + 1, each.size())));
        }
    }

  private:
    void read(const selection_parameter & parameter, std::string_view text, double & value) {
        const parsed<double> found = parse_parameter(parameter, text);
        error_ = found.error;
        value = found.ok() ? found.value : value;
    }

    void read_one(std::string_view name, std::string_view text) {
        std::string known;
        for (size_t i = 0; i < parameters_.size(); ++i) {
            if (parameters_[i].name == name) {
                read(parameters_[i], text, rule_.selection.values[i]);
                return;
            }
            known += parameters_[i].name;
            known += ", ";
        }
        if (name == k_min_tokens.name) {
            double tokens = 0;
            read(k_min_tokens, text, tokens);
            rule_.min_tokens = static_cast<int64_t>(tokens);
            return;
        }
        error_ = "found " + quote(name) + ", expected one of: " + known + std::string(k_min_tokens.name);
    }

    dynamic_rule & rule_;
    std::string & error_;
    std::span<const selection_parameter> parameters_;
    std::set<std::string_view> named_;
};

parsed<dynamic_rule> parse_rule(std::string_view text) {
    const size_t colon = text.find(':');
    const parsed<int32_t> method = parse_method(text.substr(0, colon));
    if (!method.ok()) {
        return {{}, method.error};
    }
    parsed<dynamic_rule> rule{{.selection = usual_rule(method.value), .min_tokens = 0}, ""};
    if (colon != std::string_view::npos) {
        value_reader values(rule.value, rule.error);
        const std::string_view rest = text.substr(colon + 1);
        if (rest.find('=') != std::string_view::npos) {
            values.read_named(rest);
        } else {
            values.read_in_order(rest);
        }
    }
    return rule;
}

parsed<dynamic_layers> parse_one(std::string_view text, int32_t n_layer) {
    const size_t at = text.find('@');
    if (at == std::string_view::npos) {
        return {{}, "found " + quote(text) + ", expected a method and layers such as \"stride:10@0-9\""};
    }
    parsed<dynamic_rule> rule = parse_rule(text.substr(0, at));
    if (!rule.ok()) {
        return {{}, rule.error};
    }
    parsed<std::vector<int32_t>> layers = parse_layer_set(text.substr(at + 1), n_layer);
    if (!layers.ok()) {
        return {{}, layers.error};
    }
    return {{rule.value, std::move(layers.value)}, ""};
}

parsed<std::vector<dynamic_layers>> parse_all(std::string_view text, int32_t n_layer) {
    parsed<std::vector<dynamic_layers>> rules;
    std::set<int32_t> seen;
    for (const std::string_view each : split(text, ';')) {
        parsed<dynamic_layers> rule = parse_one(each, n_layer);
        if (!rule.ok()) {
            return {{}, rule.error};
        }
        for (const int32_t layer : rule.value.layers) {
            if (!seen.insert(layer).second) {
                return {{}, "layer " + std::to_string(layer) + " is in two rules"};
            }
        }
        rules.value.push_back(std::move(rule.value));
    }
    return rules;
}

}  // namespace

parsed<int32_t> parse_method(std::string_view name) {
    if (const std::optional<int32_t> method = find_selection_method(name)) {
        return {*method, ""};
    }
    std::string known;
    for (int32_t method = 0; method < selection_methods(); ++method) {
        known += known.empty() ? "" : ", ";
        known += selection_method_of(method).name;
    }
    return {0, "found " + quote(name) + ", expected one of: " + known};
}

parsed<double> parse_parameter(const selection_parameter & parameter, std::string_view text) {
    double value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool read = problem == std::errc{} && end == text.data() + text.size();
    if (read && may_be(parameter, value)) {
        return {value, ""};
    }
    return {0, std::string(parameter.name) + ": found " + quote(text) + ", expected " + expected_of(parameter)};
}

std::string expected_of(const selection_parameter & parameter) {
    return "a " + std::string(kind_of_number(parameter)) + " from " + shown_as(parameter, parameter.least) + " to " +
           shown_as(parameter, parameter.most);
}

std::string format_selection(const selection_rule & rule) {
    const selection_method & method = selection_method_of(rule.method);
    std::string text(method.name);
    for (size_t i = 0; i < method.parameters.size(); ++i) {
        text += i == 0 ? ':' : ',';
        text += method.parameters[i].name;
        text += '=';
        text += shown_as(method.parameters[i], rule.values[i]);
    }
    return text;
}

parsed<std::vector<dynamic_layers>> parse_dynamic_layers(std::string_view text, int32_t n_layer) noexcept {
    try {
        return parse_all(text, n_layer);
    } catch (const std::exception &) {
        return {{}, "out of memory"};
    }
}

void add_dynamic_layers(const std::vector<dynamic_layers> & rules, plan & p) {
    for (const dynamic_layers & each : rules) {
        for (const int32_t layer : each.layers) {
            p.layers.resize(std::max(p.layers.size(), static_cast<size_t>(layer) + 1));
            p.layers[static_cast<size_t>(layer)].dynamic = static_cast<int32_t>(p.dynamic.size());
        }
        if (!each.layers.empty()) {
            p.dynamic.push_back(each.rule);
        }
    }
}

}  // namespace tmx
