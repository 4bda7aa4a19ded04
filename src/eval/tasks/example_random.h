// eval/tasks/example_random.h -- what is random in one example depends on nothing but its request: examples can be made
// in any order, and side by side.
#pragma once

#include <string_view>
#include <vector>

#include "eval/task.h"
#include "measure/random_source.h"

namespace tmx {

// purpose: streams of one example that must not move each other, "keys" and "places".
random_source example_random(const example_request & request, std::string_view task, std::string_view purpose);

// The same for places and orders, which the request may want to be those of every example.
random_source order_random(const example_request & request, std::string_view task, std::string_view purpose);

// Numbers [0, n) in an order that the source decides.
std::vector<size_t> shuffled_numbers(random_source & random, size_t n);

// A version 4 UUID, and `n` capital or small letters.
std::string random_uuid(random_source & random);
std::string random_letters(random_source & random, int64_t n, char first);

// Made by `draw` until it is none of `taken`, which it then joins.
template <class Draw, class Set>
std::string draw_new(Set & taken, const Draw & draw) {
    std::string made = draw();
    while (!taken.insert(made).second) {
        made = draw();
    }
    return made;
}

}  // namespace tmx
