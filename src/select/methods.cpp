#include "select/methods.h"

#include <iterator>

namespace tmx {
namespace {

#ifdef TMX_CUDA
#define TMX_IF_CUDA(function) (&(function))
#else
#define TMX_IF_CUDA(function) nullptr
#endif

constexpr selection_parameter k_stride[] = {
    {.name = "stride", .least = 1, .most = 1 << 20, .usual = 10, .whole = true},
};

// Plan files and users know methods by their names: these do not change.
constexpr method_row k_methods[] = {
    {{"stride", k_stride, false}, true, &select_stride, TMX_IF_CUDA(cuda_select_stride), nullptr},
};

#undef TMX_IF_CUDA

}  // namespace

const method_row & row_of_method(int32_t method) {
    return k_methods[method];
}

int32_t selection_methods() {
    return static_cast<int32_t>(std::size(k_methods));
}

const selection_method & selection_method_of(int32_t method) {
    return row_of_method(method).about;
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

}  // namespace tmx
