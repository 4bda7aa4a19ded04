// What is known of methods without their functions.
#include "select/known_methods.h"

namespace tmx {

int32_t selection_methods() {
    return static_cast<int32_t>(std::size(k_known_methods));
}

const selection_method & selection_method_of(int32_t method) {
    return k_known_methods[method];
}

std::optional<int32_t> find_selection_method(std::string_view name) {
    for (int32_t method = 0; method < selection_methods(); ++method) {
        if (selection_method_of(method).name == name) {
            return method;
        }
    }
    return std::nullopt;
}

selection_rule usual_rule(int32_t method) {
    selection_rule rule{.method = method, .values = {}};
    size_t i = 0;
    for (const selection_parameter & parameter : selection_method_of(method).parameters) {
        rule.values[i++] = parameter.usual;
    }
    return rule;
}

bool may_be(const selection_parameter & parameter, double value) {
    const bool in_bounds = value >= parameter.least && value <= parameter.most;  // false for what is no number
    if (!in_bounds || !parameter.whole) {
        return in_bounds;
    }
    // Whole numbers of parameters are far below 2^53.
    const auto whole = static_cast<int64_t>(value);
    return value == static_cast<double>(whole) && (!parameter.power_of_two || (whole & (whole - 1)) == 0);
}

std::string_view kind_of_number(const selection_parameter & parameter) {
    return parameter.power_of_two ? "power of two" : parameter.whole ? "whole number" : "number";
}

bool lacks_rotary(const selection_rule & rule, const rotary_layout & rotary) {
    return selection_method_of(rule.method).needs_rotary && !rotary.known();
}

status check_rule(const selection_rule & rule) noexcept {
    if (rule.method < 0 || rule.method >= selection_methods()) {
        return status::error(status_code::invalid_argument, "method is %d, must be in [0, %d)", rule.method,
                             selection_methods());
    }
    const std::span<const selection_parameter> parameters = selection_method_of(rule.method).parameters;
    for (size_t i = 0; i < parameters.size(); ++i) {
        const selection_parameter & p = parameters[i];
        const double value = rule.values[i];
        if (!may_be(p, value)) {
            const std::string_view kind = kind_of_number(p);
            return status::error(status_code::invalid_argument, "%.*s is %g, must be a %.*s from %g to %g",
                                 static_cast<int>(p.name.size()), p.name.data(), value, static_cast<int>(kind.size()),
                                 kind.data(), p.least, p.most);
        }
    }
    return {};
}

}  // namespace tmx
