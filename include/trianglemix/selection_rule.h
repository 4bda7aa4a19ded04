// trianglemix/selection_rule.h -- the methods of selection.h as plans and users know them: by their names, and the
// values of their parameters. What methods do is in selection.h.
//
// A METHOD is a row of a table: a name and its parameters (src/select/known_methods.h). A RULE is a method with its
// parameters' values.
//
// THREADS  Plain values and pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "trianglemix/status.h"

namespace tmx {

// One number that a method takes.
struct selection_parameter {
    std::string_view name;
    double least = 0;
    double most = 0;
    double usual = 0;    // what holds where nothing is said
    bool whole = false;  // a whole number
};

struct selection_method {
    std::string_view name;
    std::span<const selection_parameter> parameters;
    bool per_query_head = false;  // how its bits are meant to be used, see selection_request
};

constexpr size_t k_most_parameters = 6;

struct selection_rule {
    int32_t method = 0;                              // its number, see selection_methods()
    std::array<double, k_most_parameters> values{};  // of its parameters, in their order; the rest 0

    bool operator==(const selection_rule &) const = default;
};

// Where the heads of a layer differ, each has the number of a rule, or one of these: it selects by none, and keeps
// every key; or the blocks of a band, and those that every selection keeps.
constexpr int32_t k_keeps_all = -1;
constexpr int32_t k_keeps_band = -2;

// As many rules the heads of one layer may have.
constexpr size_t k_most_rules = 255;

// How many methods there are; they are numbered from 0.
int32_t selection_methods();
// REQUIRES 0 <= method < selection_methods().
const selection_method & selection_method_of(int32_t method);
// The number of the method of that name; none if there is no such.
std::optional<int32_t> find_selection_method(std::string_view name);
// The method with its usual parameters.
selection_rule usual_rule(int32_t method);

// Whether there is such a method, and each of its values lies within its bounds and is whole where it must be: ok, or
// invalid_argument.
status check_rule(const selection_rule & rule) noexcept;

}  // namespace tmx
