#include "profile/scores.h"

namespace tmx {
namespace {

constexpr std::array<score_kind, 7> k_kinds = {{
    {"gradient", "mean gradient |dy/dA|", quantity::gradient, pooling::mean},
    {"contribution", "mean contribution |dy/dA A|", quantity::contribution, pooling::mean},
    {"score-gradient", "mean gradient by the score |dy/dS|", quantity::score_gradient, pooling::mean},
    {"mass", "attention mass", quantity::mass, pooling::mean},
    {"gradient-share", "share of the gradient |dy/dA|", quantity::gradient, pooling::share},
    {"contribution-share", "share of the contribution |dy/dA A|", quantity::contribution, pooling::share},
    {"score-gradient-share", "share of the gradient by the score |dy/dS|", quantity::score_gradient, pooling::share},
}};

double value_of(const section_sums & sums, quantity q) {
    switch (q) {
        case quantity::gradient:
            return sums.gradient;
        case quantity::contribution:
            return sums.contribution;
        case quantity::score_gradient:
            return sums.score_gradient;
        case quantity::mass:
            return sums.mass;
    }
    return 0;
}

}  // namespace

std::span<const score_kind> score_kinds() {
    return k_kinds;
}

const score_kind * find_score(std::string_view name) {
    for (const score_kind & kind : k_kinds) {
        if (kind.name == name) {
            return &kind;
        }
    }
    return nullptr;
}

std::string describe_score(std::string_view name) {
    const score_kind * kind = find_score(name);
    return kind != nullptr ? std::string(kind->description) : "damage alone (first-token KL, nats)";
}

std::vector<double> head_scores(std::span<const prompt_gradient> prompts, const score_kind & kind, section where) {
    std::vector<double> scores(prompts.front().sums.size(), 0.0);
    for (const prompt_gradient & prompt : prompts) {
        double divisor = static_cast<double>(prompt.n_pairs[index_of(where)]);
        if (kind.how == pooling::share) {
            divisor = 0;
            for (const head_sums & head : prompt.sums) {
                divisor += value_of(head[index_of(where)], kind.what);
            }
        }
        if (divisor > 0) {
            for (size_t h = 0; h < scores.size(); ++h) {
                scores[h] += value_of(prompt.sums[h][index_of(where)], kind.what) /
                             (divisor * static_cast<double>(prompts.size()));
            }
        }
    }
    return scores;
}

std::vector<double> layer_scores(std::span<const prompt_gradient> prompts, int32_t n_head, const score_kind & kind,
                                 section where) {
    const std::vector<double> heads = head_scores(prompts, kind, where);
    const auto width = static_cast<size_t>(n_head);
    std::vector<double> layers(heads.size() / width, 0.0);
    for (size_t h = 0; h < heads.size(); ++h) {
        // The mean over heads; shares add up.
        layers[h / width] += kind.how == pooling::share ? heads[h] : heads[h] / static_cast<double>(width);
    }
    return layers;
}

}  // namespace tmx
