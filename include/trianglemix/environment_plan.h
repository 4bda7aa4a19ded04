// trianglemix/environment_plan.h -- the plan that TRIANGLEMIX_* variables choose (docs/env.md), for whoever follows
// them: the backend when it is loaded, and programs that check them before.
//
// THREADS  Pure functions, but for the plan file that may be named.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

struct environment_problem {
    bool bad_value = false;  // false: only worth a warning (a setting without effect)
    std::string text;        // names the variable, its value, and what is allowed
};

struct environment_plan {
    std::optional<plan> chosen;  // none: no variable chooses one, or what does is bad
    std::vector<environment_problem> problems;
};

using plan_loader = parsed<plan> (*)(const std::string & reference) noexcept;

// TRIANGLEMIX_PLAN; or _LAYERS with _SINK, _WINDOW, and/or _DYNAMIC; both with _LAST, _TAIL. `value_of`: the value of
// the variable TRIANGLEMIX_<name>; "": none.
environment_plan plan_of_environment(const std::function<std::string(const char * name)> & value_of,
                                     plan_loader load = load_plan);

// A variable's value as errors show it: quoted, one line of ASCII, cut where it is long.
std::string shown_value(std::string_view value);

// A whole decimal number that a llama.cpp position may be.
parsed<int64_t> parse_whole_number(std::string_view text, int64_t least);

}  // namespace tmx
