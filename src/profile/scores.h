// profile/scores.h -- from what the gradient probe counted to one number a layer, or a head: how much the pairs that
// Triangle attention skips matter. docs/profile.md derives them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "probe/section_sums.h"

namespace tmx {

// What was counted on one prompt.
struct prompt_gradient {
    std::string name;
    int64_t n_tokens = 0;
    int32_t target = 0;
    double log_probability = 0;
    std::array<int64_t, 3> n_pairs{};
    std::vector<head_sums> sums;  // [n_layer * n_head]
};

enum class quantity : uint8_t { gradient, contribution, score_gradient, mass };

// How pairs and prompts are put together: the mean over pairs, then over prompts; or each prompt's sum as a share of
// its sum over all layers, then the mean over prompts. With shares a prompt of a steep logit does not outweigh others.
enum class pooling : uint8_t { mean, share };

struct score_kind {
    std::string_view name;
    std::string_view description;
    quantity what;
    pooling how;
};
std::span<const score_kind> score_kinds();             // the paper's first
const score_kind * find_score(std::string_view name);  // null if there is none

// For people, of "ablation", too: "mean contribution |dy/dA A|". REQUIRES a name of --order-by.
std::string describe_score(std::string_view name);

// Of one section; [n_layer], heads together. REQUIRES prompts not empty, all of one model.
std::vector<double> layer_scores(std::span<const prompt_gradient> prompts, int32_t n_head, const score_kind & kind,
                                 section where);
// [n_layer * n_head]
std::vector<double> head_scores(std::span<const prompt_gradient> prompts, const score_kind & kind, section where);

}  // namespace tmx
