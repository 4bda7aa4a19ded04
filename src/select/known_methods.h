// The table of methods: their names and parameters. What they do is in methods.h.
#pragma once

#include <algorithm>
#include <iterator>

#include "trianglemix/selection_rule.h"

namespace tmx {

inline constexpr selection_parameter k_stride_parameters[] = {
    {.name = "stride", .least = 1, .most = 1 << 20, .usual = 10, .whole = true},
};

// Of the methods that score blocks. keep > 0: that share of the blocks that a tile sees, instead of what the method's
// own threshold keeps. reference = 1: the published rule, without our corrections.
inline constexpr selection_parameter k_keep{.name = "keep", .least = 0, .most = 1, .usual = 0};
inline constexpr selection_parameter k_reference{.name = "reference", .least = 0, .most = 1, .usual = 0, .whole = true};

inline constexpr selection_parameter k_means_parameters[] = {
    {.name = "alpha", .least = 0, .most = 1, .usual = 0.1},
    k_keep,
    k_reference,
};

inline constexpr selection_parameter k_prism_parameters[] = {
    {.name = "p", .least = 0, .most = 1, .usual = 0.95},
    k_keep,
    k_reference,
};

inline constexpr selection_parameter k_xattention_parameters[] = {
    {.name = "stride", .least = 4, .most = 64, .usual = 16, .whole = true, .power_of_two = true},
    {.name = "tau", .least = 0, .most = 1, .usual = 0.9},
    k_keep,
    k_reference,
};

inline constexpr selection_parameter k_flexprefill_parameters[] = {
    {.name = "gamma", .least = 0, .most = 1, .usual = 0.95},
    {.name = "tau", .least = 0, .most = 1, .usual = 0.1},
    {.name = "min_budget", .least = 0, .most = 1 << 20, .usual = 1024, .whole = true},
    {.name = "max_budget", .least = 0, .most = 1 << 20, .usual = 0, .whole = true},
    k_reference,
};

inline constexpr selection_parameter k_vertical_slash_parameters[] = {
    {.name = "vertical", .least = 0, .most = 1 << 20, .usual = 512, .whole = true},
    {.name = "slash", .least = 0, .most = 1 << 20, .usual = 2048, .whole = true},
    k_reference,
};

// Plan files and users know methods by their names: these do not change.
inline constexpr selection_method k_known_methods[] = {
    {.name = "stride", .parameters = k_stride_parameters},
    {.name = "means", .parameters = k_means_parameters},
    {.name = "prism", .parameters = k_prism_parameters, .per_query_head = true, .needs_rotary = true},
    {.name = "xattention", .parameters = k_xattention_parameters, .per_query_head = true},
    {.name = "flexprefill", .parameters = k_flexprefill_parameters, .per_query_head = true},
    {.name = "vertical_slash", .parameters = k_vertical_slash_parameters, .per_query_head = true, .fine_blocks = true},
};

static_assert(std::all_of(std::begin(k_known_methods), std::end(k_known_methods),
                          [](const selection_method & m) { return m.parameters.size() <= k_most_parameters; }),
              "a rule has no room for the values of that many parameters");

}  // namespace tmx
