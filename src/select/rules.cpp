// What is known of methods without their functions.
#include <cmath>

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

status check_rule(const selection_rule & rule) noexcept {
    if (rule.method < 0 || rule.method >= selection_methods()) {
        return status::error(status_code::invalid_argument, "method is %d, must be in [0, %d)", rule.method,
                             selection_methods());
    }
    const std::span<const selection_parameter> parameters = selection_method_of(rule.method).parameters;
    for (size_t i = 0; i < parameters.size(); ++i) {
        const selection_parameter & p = parameters[i];
        const double value = rule.values[i];
        const bool in_bounds = value >= p.least && value <= p.most;  // false for what is no number
        if (!in_bounds || (p.whole && value != std::floor(value))) {
            return status::error(status_code::invalid_argument, "%.*s is %g, must be a %snumber from %g to %g",
                                 static_cast<int>(p.name.size()), p.name.data(), value, p.whole ? "whole " : "",
                                 p.least, p.most);
        }
    }
    return {};
}

}  // namespace tmx
