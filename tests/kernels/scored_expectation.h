// scored_expectation.h -- what a rule of means, prism or xattention makes of the oracle's scores: for CPU and GPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "scored_layer.h"
#include "scored_oracle.h"
#include "scored_rules.h"

namespace tmx::test {

inline std::string text_of(const asked & a, const layer_shape & shape) {
    std::ostringstream out;
    out << selection_method_of(a.rule.method).name;
    for (const double value : a.rule.values) {
        out << " " << value;
    }
    out << ", " << shape.text() << (a.options.arithmetic == precision::fast ? " fast" : "");
    return out.str();
}

// The place of a parameter; that of no parameter if there is none of that name.
inline size_t place_of_value(const selection_rule & rule, const char * name) {
    const auto parameters = selection_method_of(rule.method).parameters;
    return static_cast<size_t>(std::find_if(parameters.begin(), parameters.end(),
                                            [&](const selection_parameter & p) { return p.name == name; }) -
                               parameters.begin());
}
inline double value_of(const selection_rule & rule, const char * name) {
    return rule.values.at(place_of_value(rule, name));
}
inline void set_value(selection_rule & rule, const char * name, double value) {
    rule.values.at(place_of_value(rule, name)) = value;
}

// Blocks of a tile that stay whatever their scores.
inline std::vector<bool> forced_blocks(const tile_ranks & rows, bool sinks_and_window) {
    const int64_t last = (rows.end - 1) / 128;
    std::vector<bool> forced;
    for (int64_t block = 0; block <= last; ++block) {
        const bool mandatory = block == 0 || block >= rows.begin / 128;
        forced.push_back(mandatory || (sinks_and_window && (block < 2 || last - block < 4)));
    }
    return forced;
}

// What one head of a layer keeps. `rounding`: how far scores may be off beside the oracle's tolerance, as a share of
// them, where the computation rounds what the oracle does not.
class expected_blocks {
  public:
    expected_blocks(const scored_layer & layer, const asked & a, int64_t head, double rounding = 0)
        : layer_(layer), asked_(a), head_(head), rounding_(rounding), method_(selection_method_of(a.rule.method).name) {
        if (method_ == "prism") {
            prism_ = prism_scores(layer, head, a.options.rotary, reference());
        }
    }

    std::vector<verdict> of_tile(int64_t tile) const {
        const tile_ranks rows = ranks_of_tile(layer_.shape, tile);
        const double keep = value_of(asked_.rule, "keep");
        budget_question question;
        question.forced = forced_blocks(rows, reference() && method_ == "means");
        if (method_ == "means") {
            const int64_t key_head = head_ / (layer_.shape.n_head / layer_.shape.n_head_kv);
            question.scores = widened(means_scores(layer_, key_head, tile, reference()));
            return keep > 0 ? by_share(question, keep) : by_alpha(question, value_of(asked_.rule, "alpha"));
        }
        if (method_ == "xattention") {
            const auto stride = static_cast<int64_t>(value_of(asked_.rule, "stride"));
            question.scores = widened(xattention_scores(layer_, head_, tile, stride, reference(),
                                                        asked_.options.arithmetic == precision::fast));
            const bool all = question.forced.size() < 4 && !reference();
            return keep > 0 ? by_share(question, keep) : by_mass(question, all ? 1 : value_of(asked_.rule, "tau"));
        }
        return of_prism(std::move(question), tile, keep);
    }

  private:
    bool reference() const { return value_of(asked_.rule, "reference") != 0; }

    block_scores widened(block_scores scores) const {
        for (known_score & score : scores) {
            score.tolerance += rounding_ * score.value;
        }
        return scores;
    }

    std::vector<verdict> of_prism(budget_question question, int64_t tile, double keep) const {
        const block_scores fast = widened(prism_[static_cast<size_t>(tile)][0]);
        const block_scores slow = widened(prism_[static_cast<size_t>(tile)][1]);
        if (keep > 0) {
            for (size_t block = 0; block < fast.size(); ++block) {
                question.scores.push_back(fast[block].value > slow[block].value ? fast[block] : slow[block]);
                question.scores.back().tolerance = std::max(fast[block].tolerance, slow[block].tolerance);
            }
            return by_share(question, keep);
        }
        question.scores = fast;
        const std::vector<verdict> by_fast = by_mass_before(question, value_of(asked_.rule, "p"));
        question.scores = slow;
        std::vector<verdict> both = by_mass_before(question, value_of(asked_.rule, "p"));
        for (size_t block = 0; block < both.size(); ++block) {
            if (by_fast[block] == verdict::kept || both[block] == verdict::dropped) {
                both[block] = by_fast[block];
            }
        }
        return both;
    }

    const scored_layer & layer_;
    const asked & asked_;
    const int64_t head_;
    const double rounding_;
    const std::string method_;
    std::vector<std::vector<block_scores>> prism_;
};

}  // namespace tmx::test
