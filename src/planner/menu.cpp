#include "planner/menu.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "profile/policy.h"

namespace tmx {
namespace {

constexpr std::string_view k_triangle = "triangle";

// Settings of a method that is named alone, from careful to bold. A method without a row is tried with its usual
// values.
struct tried_settings {
    std::string_view method;
    std::span<const std::string_view> settings;  // "name=value:name=value"
};
constexpr std::string_view k_stride_settings[] = {"stride=4", "stride=10"};
constexpr std::string_view k_means_settings[] = {"alpha=0.05", "alpha=0.1", "keep=0.1"};
constexpr std::string_view k_prism_settings[] = {"p=0.95", "p=0.9", "keep=0.1"};
constexpr std::string_view k_xattention_settings[] = {"stride=8:tau=0.95", "stride=16:tau=0.9", "stride=16:tau=0.8"};
constexpr std::string_view k_flexprefill_settings[] = {"gamma=0.95", "gamma=0.9"};
constexpr std::string_view k_vertical_slash_settings[] = {"vertical=1024:slash=4096", "vertical=512:slash=2048"};
constexpr tried_settings k_tried[] = {
    {"stride", k_stride_settings},
    {"means", k_means_settings},
    {"prism", k_prism_settings},
    {"xattention", k_xattention_settings},
    {"flexprefill", k_flexprefill_settings},
    {"vertical_slash", k_vertical_slash_settings},
};

constexpr selection_parameter k_window = {
    .name = "window", .least = 1, .most = 2147483647, .usual = 512, .whole = true};

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(separator, begin), text.size());
        parts.emplace_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

[[noreturn]] void refuse(const std::string & where, const std::string & why) {
    throw contradiction(fmt::format("--menu: \"{}\": {}", where, why));
}

std::string text_of_value(const selection_parameter & parameter, double value) {
    return fmt::format("{}={}", parameter.name, value);
}

std::string text_of_rule(const selection_rule & rule) {
    const selection_method & method = selection_method_of(rule.method);
    std::string text(method.name);
    for (size_t i = 0; i < method.parameters.size(); ++i) {
        text += fmt::format(":{}", text_of_value(method.parameters[i], rule.values[i]));
    }
    return text;
}

// "name=value" of one of the parameters: its number and the value.
std::pair<size_t, double> read_value(const std::string & where, std::string_view owner,
                                     std::span<const selection_parameter> parameters, const std::string & text) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const auto found = std::find_if(parameters.begin(), parameters.end(),
                                    [&](const selection_parameter & p) { return p.name == name; });
    if (found == parameters.end()) {
        std::vector<std::string_view> names;
        for (const selection_parameter & p : parameters) {
            names.push_back(p.name);
        }
        refuse(where, fmt::format("{} has no \"{}\"; it has: {}", owner, name,
                                  names.empty() ? "no values" : fmt::format("{}", fmt::join(names, ", "))));
    }
    if (equals == std::string::npos) {
        refuse(where, fmt::format("\"{0}\" has no value; write {0}=N", name));
    }
    const parsed<double> value = parse_parameter(*found, std::string_view(text).substr(equals + 1));
    if (!value.ok()) {
        refuse(where, value.error);
    }
    return {static_cast<size_t>(found - parameters.begin()), value.value};
}

// The part's values, which stand behind its name, over those in `values`.
template <class T>
void read_values(const std::string & where, const std::vector<std::string> & part,
                 std::span<const selection_parameter> parameters, T & values) {
    std::vector<bool> given(parameters.size());
    for (size_t i = 1; i < part.size(); ++i) {
        const auto [number, value] = read_value(where, part.front(), parameters, part[i]);
        if (given[number]) {
            refuse(where, fmt::format("{} is given twice", parameters[number].name));
        }
        given[number] = true;
        values[number] = value;
    }
}

std::vector<selection_rule> rules_of(const std::string & where, const std::vector<std::string> & part, bool quick) {
    const std::optional<int32_t> method = find_selection_method(part.front());
    if (!method) {
        refuse(where, fmt::format("found \"{}\", expected one of: {}", part.front(), fmt::join(menu_names(), ", ")));
    }
    const std::span<const selection_parameter> parameters = selection_method_of(*method).parameters;
    const auto * const tried = std::find_if(std::begin(k_tried), std::end(k_tried),
                                            [&](const tried_settings & t) { return t.method == part.front(); });
    std::vector<selection_rule> rules;
    if (part.size() > 1 || quick || tried == std::end(k_tried)) {
        rules.push_back(usual_rule(*method));
        read_values(where, part, parameters, rules.back().values);
        return rules;
    }
    for (const std::string_view setting : tried->settings) {
        std::vector<std::string> values = split(setting, ':');
        values.insert(values.begin(), part.front());
        rules.push_back(usual_rule(*method));
        read_values(where, values, parameters, rules.back().values);
    }
    return rules;
}

menu_entry make_entry(int64_t n_window, const std::optional<selection_rule> & rule, const triangle_shape & shape) {
    menu_entry entry;
    entry.n_window = n_window;
    entry.rule = rule;
    std::vector<std::string> families;
    std::vector<std::string> texts;
    if (n_window > 0) {
        families.emplace_back(k_triangle);
        texts.emplace_back(k_triangle);
        if (n_window != shape.n_window) {
            texts.back() += fmt::format(":{}", text_of_value(k_window, static_cast<double>(n_window)));
        }
    }
    if (rule) {
        families.emplace_back(selection_method_of(rule->method).name);
        texts.push_back(text_of_rule(*rule));
    }
    entry.family = fmt::format("{}", fmt::join(families, "+"));
    entry.text = fmt::format("{}", fmt::join(texts, "+"));
    return entry;
}

// One item of the menu, which may be several entries.
std::vector<menu_entry> entries_of(const std::string & item, const triangle_shape & shape, bool quick) {
    int64_t n_window = 0;
    std::vector<selection_rule> rules;
    for (const std::string & text : split(item, '+')) {
        const std::vector<std::string> part = split(text, ':');
        if (part.front() == k_triangle) {
            if (n_window > 0) {
                refuse(item, "triangle is named twice");
            }
            double window[] = {static_cast<double>(shape.n_window)};
            read_values(item, part, std::span(&k_window, 1), window);
            n_window = static_cast<int64_t>(window[0]);
        } else if (!rules.empty()) {
            refuse(item, "a layer takes one method, and triangle beside it");
        } else {
            rules = rules_of(item, part, quick);
        }
    }
    std::vector<menu_entry> entries;
    if (rules.empty()) {
        entries.push_back(make_entry(n_window, std::nullopt, shape));
    }
    for (const selection_rule & rule : rules) {
        entries.push_back(make_entry(n_window, rule, shape));
    }
    return entries;
}

}  // namespace

std::vector<std::string> menu_names() {
    std::vector<std::string> names = {std::string(k_triangle)};
    for (int32_t method = 0; method < selection_methods(); ++method) {
        names.emplace_back(selection_method_of(method).name);
    }
    return names;
}

std::vector<menu_entry> parse_menu(const std::string & text, const triangle_shape & shape, bool quick) {
    std::vector<menu_entry> menu;
    for (const std::string & item : split(text, ',')) {
        for (menu_entry & entry : entries_of(item, shape, quick)) {
            const bool there = std::any_of(menu.begin(), menu.end(),
                                           [&](const menu_entry & other) { return other.text == entry.text; });
            if (there) {
                refuse(item, entry.text + " is on the menu already");
            }
            menu.push_back(std::move(entry));
        }
    }
    return menu;
}

}  // namespace tmx
