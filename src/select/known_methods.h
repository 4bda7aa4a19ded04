// The table of methods: their names and parameters. What they do is in methods.h.
#pragma once

#include <algorithm>
#include <iterator>

#include "trianglemix/selection_rule.h"

namespace tmx {

inline constexpr selection_parameter k_stride_parameters[] = {
    {.name = "stride", .least = 1, .most = 1 << 20, .usual = 10, .whole = true},
};

// Plan files and users know methods by their names: these do not change.
inline constexpr selection_method k_known_methods[] = {
    {.name = "stride", .parameters = k_stride_parameters, .per_query_head = false},
};

static_assert(std::all_of(std::begin(k_known_methods), std::end(k_known_methods),
                          [](const selection_method & m) { return m.parameters.size() <= k_most_parameters; }),
              "a rule has no room for the values of that many parameters");

}  // namespace tmx
