#include "plan/read_dynamic.h"

#include <charconv>
#include <exception>
#include <vector>

#include "plan/object_reader.h"
#include "plan/quote.h"

namespace tmx {
namespace {

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

std::string shown_as(const selection_parameter & parameter, double value) {
    return parameter.whole ? std::to_string(static_cast<int64_t>(value)) : json(value).dump();
}

std::string expected_of(const selection_parameter & parameter) {
    return "a " + std::string(kind_of_number(parameter)) + " from " + shown_as(parameter, parameter.least) + " to " +
           shown_as(parameter, parameter.most);
}

void read_parameter(object_reader & entry, const std::string & path, const selection_parameter & parameter,
                    double & value) {
    const std::string key(parameter.name);
    if (!parameter.whole) {
        entry.number(key.c_str(), parameter.least, parameter.most, value);
        return;
    }
    auto whole = static_cast<int64_t>(value);
    entry.integer(key.c_str(), false, static_cast<int64_t>(parameter.least), static_cast<int64_t>(parameter.most),
                  whole);
    value = static_cast<double>(whole);
    if (!may_be(parameter, value)) {
        entry.fail(path_of(path, key), "found " + std::to_string(whole) + ", expected " + expected_of(parameter));
    }
}

selection_rule read_rule(object_reader & entry, const std::string & path) {
    int32_t method = 0;
    entry.word("method", true, "a string such as \"stride\"", method, parse_method);
    selection_rule rule = usual_rule(method);
    std::vector<std::string_view> keys = {"method", "layers"};
    const std::span<const selection_parameter> parameters = selection_method_of(method).parameters;
    for (const selection_parameter & parameter : parameters) {
        keys.push_back(parameter.name);
    }
    entry.allow_only(keys);
    for (size_t i = 0; i < parameters.size(); ++i) {
        read_parameter(entry, path, parameters[i], rule.values[i]);
    }
    return rule;
}

std::string entry_path(size_t number) {
    return "dynamic[" + std::to_string(number) + "]";
}

// The value of one parameter, as users type it.
parsed<double> parse_value(const selection_parameter & parameter, std::string_view text) {
    double value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool read = problem == std::errc{} && end == text.data() + text.size();
    if (read && may_be(parameter, value)) {
        return {value, ""};
    }
    return {0, std::string(parameter.name) + ": found " + quote(text) + ", expected " + expected_of(parameter)};
}

parsed<selection_rule> parse_rule(std::string_view text) {
    const size_t colon = text.find(':');
    const parsed<int32_t> method = parse_method(text.substr(0, colon));
    if (!method.ok()) {
        return {{}, method.error};
    }
    selection_rule rule = usual_rule(method.value);
    const std::span<const selection_parameter> parameters = selection_method_of(method.value).parameters;
    size_t n_values = 0;
    for (size_t at = colon; at != std::string_view::npos; ++n_values) {
        const size_t next = text.find(':', at + 1);
        const std::string_view value = text.substr(at + 1, next == std::string_view::npos ? next : next - at - 1);
        if (n_values == parameters.size()) {
            return {
                {},
                "more values than the method has parameters, of which there are " + std::to_string(parameters.size())};
        }
        const parsed<double> read = parse_value(parameters[n_values], value);
        if (!read.ok()) {
            return {{}, read.error};
        }
        rule.values[n_values] = read.value;
        at = next;
    }
    return {rule, ""};
}

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
    for (size_t i = 0; i < value.size(); ++i) {
        object_reader entry(value[i], entry_path(i), error);
        const selection_rule rule = entry.ok() ? read_rule(entry, entry_path(i)) : selection_rule{};
        std::vector<int32_t> layers;
        entry.word("layers", true, "a string such as \"0-9\"", layers,
                   [&](const std::string & text) { return parse_layer_set(text, p.model.n_layer); });
        const std::string where = entry_path(i) + ".layers";
        if (entry.ok() && layers.empty()) {
            entry.fail(where, "names no layer; leave the entry out");
        }
        for (const int32_t layer : layers) {
            int32_t & dynamic = p.layers[static_cast<size_t>(layer)].dynamic;
            if (dynamic >= 0) {
                entry.fail(where, "layer " + std::to_string(layer) + " is in " +
                                      entry_path(static_cast<size_t>(dynamic)) + " already");
            }
            dynamic = static_cast<int32_t>(i);
        }
        if (!entry.ok()) {
            return;
        }
        p.dynamic.push_back(rule);
    }
}

parsed<dynamic_layers> parse_dynamic_layers(std::string_view text, int32_t n_layer) noexcept {
    try {
        const size_t at = text.find('@');
        if (at == std::string_view::npos) {
            return {{}, "found " + quote(text) + ", expected a method and layers such as \"stride:10@0-9\""};
        }
        parsed<selection_rule> rule = parse_rule(text.substr(0, at));
        if (!rule.ok()) {
            return {{}, rule.error};
        }
        parsed<std::vector<int32_t>> layers = parse_layer_set(text.substr(at + 1), n_layer);
        if (!layers.ok()) {
            return {{}, layers.error};
        }
        return {{rule.value, std::move(layers.value)}, ""};
    } catch (const std::exception &) {
        return {{}, "out of memory"};
    }
}

}  // namespace tmx
