// planner/planner_result.h -- all that a planner measured and chose.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "planner/frontier.h"
#include "planner/mix_search.h"
#include "planner/mix_stage.h"
#include "planner/prompt_groups.h"
#include "planner/start/start_stage.h"
#include "runtime/model.h"
#include "trianglemix/plan.h"

namespace tmx {

// What an entry does in one layer alone, over the prompts of some groups; the largest mean of any group.
struct damage {
    bool measured = false;
    double first_kl = 0;
    double following_kl = 0;
    double mean_kl = 0;  // over all positions: few prompts' first tokens alone tell little
};

struct measured_choice {
    damage at_short;   // on the shortest prompts that choose, and the user's own
    damage at_long;    // on the longest; not measured where these are the shortest, or the entry was dropped before
    double saved = 0;  // seconds of the longest prompts, may be below 0
    // Of its layer's pairs, in the longest prompts: what is computed, and what would be without it.
    double kept_share = 1;
    double start_share = 1;
};

// A mix that was measured on all prompts that choose, or all that check.
struct measured_mix {
    layer_mix mix;
    bool held_out = false;
    double worst_kl = 0;              // mean first-token KL at the length where it is largest
    std::vector<mix_effect> effects;  // [prompts], group by group
};

// A frontier, and the way to what was taken.
struct planner_search {
    std::vector<combination> frontier;
    searched_path found;
    // Combinations within the budget on all prompts that choose, or that check; in the order of measuring.
    std::vector<measured_mix> measured;

    const combination & taken() const { return found.path[found.taken]; }
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
    std::vector<int32_t> layers;         // candidates: those without a window
    std::vector<unit> heads;             // candidates behind them: of layers that were looked at head by head
    std::optional<start_outcome> start;  // none: mixes start from all dense
    measured_mix dense;  // without any entry: all dense, or what mixes start from; on prompts that choose
    std::vector<measured_mix> everywhere;               // [entry], in every candidate layer, on prompts that choose
    std::vector<std::vector<measured_choice>> choices;  // [layers, then heads][entry]
    // [layers, then heads] mean KL on the shortest prompts of a change that does nothing but round otherwise; 0: none
    std::vector<double> floors;
    planner_search mix;  // of the whole menu
    // Of Triangle attention alone, beside it. None: a quick run, one for the plan only, or no such entry.
    std::optional<planner_search> triangle;
    plan value;
};

unit candidate(const planner_result & r, size_t number);  // a layer, or a head

// Whether its heads are candidates in its place. layer: number in planner_result::layers.
bool by_head(const planner_result & r, size_t layer);

layer_mix mix_of_combination(const planner_result & r, const combination & c);

// What a choice does beyond its layer's floor; a head's is its part of what its layer does. REQUIRES at_short measured.
double damage_counted(const planner_result & r, size_t number, size_t entry);

// What the search took, on prompts that choose or that check; null: not measured there, or it is dense.
const measured_mix * measured_taken(const planner_result & r, const planner_search & s, bool held_out);

// Of the longest prompts, on which it was measured.
std::span<const mix_effect> at_longest(const planner_result & r, const measured_mix & m);
double median_prefill(std::span<const mix_effect> effects);  // seconds
double share_of_pairs(std::span<const mix_effect> effects);  // of all attention's, that were computed

// Share of all attention pairs that a combination is expected to compute in the longest prompts.
double predicted_share(const planner_result & r, const combination & c);
// Seconds of the longest prompts: what it saves, and what is left until the first token.
double saved_seconds(const planner_result & r, const combination & c);
double predicted_seconds(const planner_result & r, const combination & c);

}  // namespace tmx
