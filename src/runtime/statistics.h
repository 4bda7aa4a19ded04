// runtime/statistics.h -- what our backend says it did (docs/env.md), as the programs show it.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tmx {

// What selection did by one rule.
struct rule_statistics {
    std::string rule;
    double density = 1;             // pairs kept of those that dense attention keeps in the same rows and heads
    std::optional<double> seconds;  // of selecting; none: not known
};

struct backend_statistics {
    nlohmann::ordered_json raw;                // as the backend wrote it
    std::string kernel;                        // CPU kernel in use; "" if unknown
    int64_t n_planned = 0;                     // attention nodes computed by the plan, triangle or dynamic
    int64_t n_dense = 0;                       // attention nodes computed densely, exactly
    std::map<std::string, int64_t> fallbacks;  // reason -> times a planned layer was computed exactly instead
    std::map<std::string, int64_t> passed_on;  // reason -> attention nodes left to a GPU's own backend
    int64_t n_whole_graphs = 0;         // evaluations that a GPU's own backend got whole: no node was to be taken
    std::vector<std::string> declined;  // reasons for which attention nodes were not claimed
    std::string plan_refused;           // how the plan differs from the running model; "" if it does not
    double pairs_kept = 0;              // (query, key) pairs computed, through a mask or not, over all query heads
    double pairs_skipped = 0;           // ... and that the plan left out
    std::vector<rule_statistics> selections;
    double seconds = 0;          // time inside our attention nodes
    int64_t n_products = 0;      // matrix products computed
    double product_seconds = 0;  // time inside them
    std::string product_ways;    // "q8_0", or "f16 in bf16, q8_0"

    double kept_share() const;          // 1 if nothing was counted
    std::string fallback_text() const;  // "none", or "3 irregular_mask, 1 unknown_layer"
};

// ERRORS failure: the text is not what docs/env.md says.
backend_statistics parse_statistics(const std::string & json_text);

}  // namespace tmx
