// planner/planner_result.h -- all that a planner measured and chose.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "planner/frontier.h"
#include "planner/mix_stage.h"
#include "planner/prompt_groups.h"
#include "profile/selection.h"
#include "runtime/model.h"
#include "trianglemix/plan.h"

namespace tmx {

// What an entry does in one layer alone, over the prompts of some groups; the largest mean of any group.
struct damage {
    bool measured = false;
    double first_kl = 0;
    double following_kl = 0;

    // A choice must be harmless in both: few prompts' first tokens alone tell little.
    double worse() const { return std::max(first_kl, following_kl); }
};

struct measured_choice {
    damage at_short;   // on the shortest prompts that choose, and the user's own
    damage at_long;    // on the longest; not measured where these are the shortest, or the entry was dropped before
    double saved = 0;  // seconds of the longest prompts, may be below 0
    double kept_share = 1;  // of the layer's pairs, in the longest prompts

    double damage_counted() const {
        return at_long.measured ? std::max(at_short.worse(), at_long.worse()) : at_short.worse();
    }
};

// A mix that was measured on all prompts that choose, or all that check.
struct measured_mix {
    layer_mix mix;
    int64_t number = 0;  // of a search's combination
    bool held_out = false;
    double worst_kl = 0;              // mean first-token KL at the length where it is largest
    std::vector<mix_effect> effects;  // [prompts], group by group
};

// A row of combinations, and what was taken of it.
struct search {
    std::vector<combination> frontier;
    selection chosen;                    // a number in the frontier
    std::vector<measured_mix> measured;  // in the order of measuring

    const combination & taken() const { return frontier[static_cast<size_t>(chosen.size)]; }
    // The taken one on prompts that check; null: it is dense.
    const measured_mix * check() const;
};

struct planner_result {
    model_facts facts;
    std::string model_sha256;
    int64_t n_on_file = 0;  // records that an earlier run left
    int64_t n_prompts = 0;  // that choose
    int64_t measured_up_to = 0;
    std::vector<menu_entry> menu;       // what of it can be computed here
    std::vector<std::string> left_out;  // why others cannot, for people
    std::vector<prompt_group> choosing, held_out;
    std::vector<int32_t> layers;                        // candidates: those without a window
    measured_mix dense;                                 // on prompts that choose
    std::vector<measured_mix> everywhere;               // [entry], in every candidate layer, on prompts that choose
    std::vector<std::vector<measured_choice>> choices;  // [layers][entry]
    search mix;                                         // of the whole menu
    std::optional<search> triangle;  // of Triangle attention alone, beside it; none: a quick run, or no such entry
    plan value;
};

layer_mix mix_of_combination(const planner_result & r, const combination & c);

// Of the longest prompts, on which it was measured.
std::span<const mix_effect> at_longest(const planner_result & r, const measured_mix & m);
double median_prefill(std::span<const mix_effect> effects);  // seconds
double share_of_pairs(std::span<const mix_effect> effects);  // of all attention's, that were computed

// Share of all attention pairs that a combination is expected to compute in the longest prompts.
double predicted_share(const planner_result & r, const combination & c);
// Seconds until the first token of the longest prompts.
double predicted_seconds(const planner_result & r, const combination & c);

}  // namespace tmx
