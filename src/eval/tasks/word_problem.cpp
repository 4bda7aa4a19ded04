#include "eval/tasks/word_problem.h"

#include <fmt/core.h>

#include <numeric>
#include <utility>

#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr const char * k_things[] = {
    "foxes",  "owls",  "hedgehogs", "bicycles", "lanterns", "kites",     "barrels", "drums",  "apple trees", "canoes",
    "pianos", "tents", "statues",   "goats",    "beehives", "windmills", "benches", "wagons", "ponies",      "clocks"};
constexpr const char * k_first[] = {"Maple",  "Willow", "Amber",   "Copper", "Silver", "Juniper", "Raven",
                                    "Hazel",  "Stone",  "Cedar",   "Winter", "Summer", "Thistle", "Clover",
                                    "Falcon", "Heron",  "Bramble", "Birch",  "Ember",  "Cobalt",  "Linden",
                                    "Marble", "Otter",  "Pepper",  "Quarry", "Russet", "Saffron", "Timber"};
constexpr const char * k_second[] = {"Creek",  "Valley", "Harbour", "Ridge",  "Meadow", "Bridge", "Hollow",
                                     "Point",  "Market", "Square",  "Garden", "Island", "Grove",  "Field",
                                     "Corner", "Wharf",  "Hill",    "Lane",   "Mill",   "Pond"};
constexpr int64_t k_most = 1000;
constexpr uint64_t k_names = std::size(k_things) * std::size(k_first) * std::size(k_second);

std::string name_of_number(uint64_t number) {
    const char * thing = k_things[number % std::size(k_things)];
    number /= std::size(k_things);
    return fmt::format("the number of {} in {} {}", thing, k_first[number % std::size(k_first)],
                       k_second[number / std::size(k_first)]);
}

}  // namespace

word_problem::word_problem(int64_t n_operations, random_source core, random_source noise)
    : core_(core), noise_(noise), unused_names_(k_names) {
    std::iota(unused_names_.begin(), unused_names_.end(), uint64_t{0});
    stated_name(core_, {"", static_cast<int64_t>(1 + core_.below(4))});
    for (int64_t left = n_operations; left > 0;) {
        // Each step starts from the one before, so that all are needed.
        const quantity before = known_.back();
        left -= add_step(core_, before, left, true);
    }
    n_needed_ = statements_.size();
    question_ = known_.back().name;
    answer_ = known_.back().value;
}

void word_problem::add_noise() {
    const quantity from = known_[noise_.below(known_.size())];
    add_step(noise_, from, k_most, false);
}

// ERRORS failure: all names are taken.
std::string word_problem::new_name(random_source & random) {
    if (unused_names_.empty()) {
        throw failure(fmt::format("word problems have {} names of quantities, too few for this length", k_names));
    }
    std::swap(unused_names_[random.below(unused_names_.size())], unused_names_.back());
    const uint64_t number = unused_names_.back();
    unused_names_.pop_back();
    return name_of_number(number);
}

void word_problem::state(quantity made, const std::string & how) {
    std::string sentence = fmt::format("{} {}.", made.name, how);
    sentence[0] = 'T';
    statements_.push_back(std::move(sentence));
    known_.push_back(std::move(made));
}

// One of the known quantities, or a constant that is not stated yet.
word_problem::quantity word_problem::draw_partner(random_source & random, bool with_constants) {
    if (with_constants && random.below(3) == 0) {
        return {"", static_cast<int64_t>(1 + random.below(4))};
    }
    return known_[random.below(known_.size())];
}

// Now that it is needed, a constant gets its name and statement.
std::string word_problem::stated_name(random_source & random, const quantity & one) {
    if (!one.name.empty()) {
        return one.name;
    }
    state({new_name(random), one.value}, fmt::format("is {}", one.value));
    return known_.back().name;
}

// One quantity more, made of `from` and what `draw_partner` gives. Says how many operations that took; 0: these numbers
// would not do, and nothing was added.
int64_t word_problem::try_step(random_source & random, const quantity & from, int64_t n_left, bool with_constants) {
    const auto constant = static_cast<int64_t>(1 + random.below(4));
    const uint64_t kind = random.below(5);
    if (kind == 0 && from.value + constant <= k_most) {
        state({new_name(random), from.value + constant}, fmt::format("is {} more than {}", constant, from.name));
        return 1;
    }
    if (kind == 1 && constant > 1 && from.value * constant <= k_most) {
        state({new_name(random), from.value * constant}, fmt::format("is {} times {}", constant, from.name));
        return 1;
    }
    if (kind < 2) {
        return 0;
    }
    const quantity other = draw_partner(random, with_constants);
    if (other.name == from.name) {
        return 0;
    }
    // A difference may always be made, however large the numbers have become.
    if (kind == 2) {
        const std::string name = stated_name(random, other);
        const bool from_more = from.value >= other.value;
        state({new_name(random), from_more ? from.value - other.value : other.value - from.value},
              fmt::format("is {} minus {}", from_more ? from.name : name, from_more ? name : from.name));
        return 1;
    }
    if (from.value + other.value > k_most) {
        return 0;
    }
    if (kind == 3) {
        const std::string name = stated_name(random, other);
        state({new_name(random), from.value + other.value}, fmt::format("is the sum of {} and {}", from.name, name));
        return 1;
    }
    const quantity third = known_[random.below(known_.size())];
    const int64_t total = from.value + other.value + third.value;
    if (n_left < 2 || third.name == from.name || third.name == other.name || total > k_most) {
        return 0;
    }
    const std::string name = stated_name(random, other);
    state({new_name(random), total}, fmt::format("is the total of {}, {} and {}", from.name, name, third.name));
    return 2;
}

int64_t word_problem::add_step(random_source & random, const quantity & from, int64_t n_left, bool with_constants) {
    int64_t n_operations = 0;
    while (n_operations == 0) {
        n_operations = try_step(random, from, n_left, with_constants);
    }
    return n_operations;
}

}  // namespace tmx
