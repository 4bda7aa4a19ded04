// planner/menu.h -- what a layer may be: the entries of a menu, as users type them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

// Triangle attention, a dynamic method with its parameters' values, or both in one layer. Dense is always there and no
// entry.
struct menu_entry {
    std::string text;      // whole: "triangle", "triangle:window=1024", "stride:stride=10", "triangle+stride:stride=10"
    std::string family;    // without values: "triangle", "stride", "triangle+stride"
    int64_t n_window = 0;  // of Triangle attention; 0: it is not in the entry
    std::optional<selection_rule> rule;  // how blocks are selected; none: they are not
};

// "triangle,stride,triangle+stride:stride=4,...". A method named alone stands for a short list of settings, of which
// `quick` leaves the usual one; one with a value is one entry, whose other values are the usual ones. The same text
// gives the same entries in the same order.
//
// shape: its window is that of "triangle". ERRORS contradiction: what was found, and what is allowed.
std::vector<menu_entry> parse_menu(const std::string & text, const triangle_shape & shape, bool quick);

// Every name that parse_menu() knows: "triangle", "stride", ...
std::vector<std::string> menu_names();

}  // namespace tmx
