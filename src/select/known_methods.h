// The table of methods: their names and parameters. What they do is in methods.h.
#pragma once

#include <algorithm>
#include <iterator>

#include "trianglemix/selection_rule.h"

namespace tmx {

inline constexpr selection_parameter k_stride_parameters[] = {
    {.name = "stride", .least = 1, .most = 1 << 20, .usual = 10, .whole = true},
};

inline constexpr selection_parameter k_flexprefill_parameters[] = {
    {.name = "gamma", .least = 0, .most = 1, .usual = 0.95},
    {.name = "tau", .least = 0, .most = 1, .usual = 0.1},
    {.name = "min_budget", .least = 0, .most = 1 << 20, .usual = 1024, .whole = true},
    {.name = "max_budget", .least = 0, .most = 1 << 20, .usual = 0, .whole = true},
    {.name = "reference", .least = 0, .most = 1, .usual = 0, .whole = true},
};

inline constexpr selection_parameter k_vertical_slash_parameters[] = {
    {.name = "vertical", .least = 0, .most = 1 << 20, .usual = 512, .whole = true},
    {.name = "slash", .least = 0, .most = 1 << 20, .usual = 2048, .whole = true},
    {.name = "reference", .least = 0, .most = 1, .usual = 0, .whole = true},
};

// Plan files and users know methods by their names: these do not change.
inline constexpr selection_method k_known_methods[] = {
    {.name = "stride", .parameters = k_stride_parameters, .per_query_head = false},
    {.name = "flexprefill", .parameters = k_flexprefill_parameters, .per_query_head = true},
    {.name = "vertical_slash", .parameters = k_vertical_slash_parameters, .per_query_head = true, .fine_blocks = true},
};

static_assert(std::all_of(std::begin(k_known_methods), std::end(k_known_methods),
                          [](const selection_method & m) { return m.parameters.size() <= k_most_parameters; }),
              "a rule has no room for the values of that many parameters");

}  // namespace tmx
