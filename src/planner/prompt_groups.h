// planner/prompt_groups.h -- a run's prompts by length: what must hold, must hold at each.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "prompts/prompt_pool.h"

namespace tmx {

// Made prompts of one length asked for, or all of the user's own.
struct prompt_group {
    int64_t length = 0;           // asked for; 0: the user's own
    int64_t n_tokens = 0;         // of the longest
    std::vector<size_t> prompts;  // numbers in the pool
};

// Ascending by the length of their longest prompt.
std::vector<prompt_group> group_prompts(const prompt_pool & prompts, bool held_out);
std::vector<size_t> prompts_of(const std::vector<prompt_group> & groups);  // group by group

// The largest of the groups' means, of values of prompts_of(groups). REQUIRES at least one group.
double worst_mean(const std::vector<prompt_group> & groups, const std::function<double(size_t i)> & value);

// Prompts that ask about one context, and what a change does to their answers together.
struct told_context {
    std::vector<size_t> prompts;
    double kl = 0;
};

// Prompts of the half of the contexts, rounded up, of the largest KL; contexts stay in their order. Of equal ones the
// first stay; a KL that is no number counts as the largest.
std::vector<size_t> most_telling_half(std::vector<told_context> contexts);

// Whether the values of the first prompts alone say that a group's mean is more than the limit, or no number: when none
// of the others is below 0.
bool mean_beyond(const std::vector<prompt_group> & groups, const std::vector<double> & first_values, double limit);

}  // namespace tmx
