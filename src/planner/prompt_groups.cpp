#include "planner/prompt_groups.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

namespace tmx {

std::vector<prompt_group> group_prompts(const prompt_pool & prompts, bool held_out) {
    std::map<int64_t, prompt_group> by_length;
    for (const size_t prompt : prompts.numbers(held_out)) {
        const int64_t length = prompts.specs()[prompt].length;
        prompt_group & group = by_length[length];
        group.length = length;
        group.n_tokens = std::max(group.n_tokens, prompts.n_tokens(prompt));
        group.prompts.push_back(prompt);
    }
    std::vector<prompt_group> groups;
    groups.reserve(by_length.size());
    for (auto & [length, group] : by_length) {
        groups.push_back(std::move(group));
    }
    std::stable_sort(groups.begin(), groups.end(),
                     [](const prompt_group & a, const prompt_group & b) { return a.n_tokens < b.n_tokens; });
    return groups;
}

std::vector<size_t> prompts_of(const std::vector<prompt_group> & groups) {
    std::vector<size_t> prompts;
    for (const prompt_group & group : groups) {
        prompts.insert(prompts.end(), group.prompts.begin(), group.prompts.end());
    }
    return prompts;
}

double worst_mean(const std::vector<prompt_group> & groups, const std::function<double(size_t i)> & value) {
    double worst = -std::numeric_limits<double>::infinity();
    size_t i = 0;
    for (const prompt_group & group : groups) {
        double sum = 0;
        for (size_t k = 0; k < group.prompts.size(); ++k) {
            sum += value(i++);
        }
        worst = std::max(worst, sum / static_cast<double>(group.prompts.size()));
    }
    return worst;
}

std::vector<size_t> most_telling_half(std::vector<told_context> contexts) {
    std::vector<size_t> order(contexts.size());
    std::iota(order.begin(), order.end(), size_t{0});
    for (told_context & each : contexts) {
        each.kl = std::isnan(each.kl) ? std::numeric_limits<double>::infinity() : each.kl;
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return contexts[a].kl > contexts[b].kl; });
    order.resize((order.size() + 1) / 2);
    std::sort(order.begin(), order.end());
    std::vector<size_t> prompts;
    for (const size_t number : order) {
        prompts.insert(prompts.end(), contexts[number].prompts.begin(), contexts[number].prompts.end());
    }
    return prompts;
}

bool mean_beyond(const std::vector<prompt_group> & groups, const std::vector<double> & first_values, double limit) {
    size_t i = 0;
    for (const prompt_group & group : groups) {
        double sum = 0;
        for (size_t k = 0; k < group.prompts.size() && i < first_values.size(); ++k) {
            sum += first_values[i++];
        }
        if (!(sum / static_cast<double>(group.prompts.size()) <= limit)) {
            return true;
        }
    }
    return false;
}

}  // namespace tmx
