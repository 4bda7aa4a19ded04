// flexprefill_oracle.h -- the bits of method flexprefill, from the comment of src/select/flexprefill.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "line_method_cases.h"

namespace tmx::test {

// What one head keeps. Blocks and groups of 128.
struct oracle_flexprefill_head {
    std::vector<kept_state> block;
    std::vector<kept_state> group;
    std::vector<kept_state> scored;  // [tile * blocks + block]
    bool undecided = false;          // whether it is query-aware
    bool query_aware = false;
};

// How many of the masses, the first before all if it is forced, reach the share.
inline int64_t number_reaching(std::vector<double> masses, double wanted, bool first_forced, bool with_crossing) {
    std::sort(masses.begin() + (first_forced ? 1 : 0), masses.end(), std::greater<>());
    double sum = 0;
    int64_t n = 0;
    for (const double mass : masses) {
        if (with_crossing ? sum >= wanted : sum + mass > wanted) {
            break;
        }
        sum += mass;
        ++n;
    }
    return n;
}

inline std::vector<kept_state> between(const std::vector<kept_state> & few, const std::vector<kept_state> & many) {
    std::vector<kept_state> states;
    for (size_t i = 0; i < few.size(); ++i) {
        states.push_back(few[i] == kept_state::yes   ? kept_state::yes
                         : many[i] == kept_state::no ? kept_state::no
                                                     : kept_state::maybe);
    }
    return states;
}

inline std::vector<double> oracle_mean_query(const attention_args & args, const attention_segment & segment,
                                             int64_t head, int64_t begin, int64_t end) {
    std::vector<double> mean(static_cast<size_t>(args.d_qk));
    for (int64_t row = begin; row < end; ++row) {
        const float * q = query_of(args, segment, head, row);
        for (size_t i = 0; i < mean.size(); ++i) {
            mean[i] += static_cast<double>(q[i]) / static_cast<double>(end - begin);
        }
    }
    return mean;
}

class flexprefill_head_oracle {
  public:
    flexprefill_head_oracle(const attention_args & args, const attention_segment & segment, const selection_rule & rule,
                            int64_t head)
        : args_(args),
          segment_(segment),
          gamma_(rule.values[0]),
          tau_(rule.values[1]),
          min_blocks_((static_cast<int64_t>(rule.values[2]) + 127) / 128),
          max_blocks_((static_cast<int64_t>(rule.values[3]) + 127) / 128),
          reference_(rule.values[4] != 0),
          head_(head),
          keys_(decoded_keys(args, segment, head / (args.n_head / args.n_head_kv))),
          n_keys_(static_cast<int64_t>(keys_.size())),
          n_blocks_((n_keys_ + 127) / 128) {
        for (int64_t block = 0; block < n_blocks_; ++block) {
            std::vector<double> mean(static_cast<size_t>(args.d_qk));
            const int64_t end = std::min(n_keys_, block * 128 + 128);
            for (int64_t key = block * 128; key < end; ++key) {
                for (size_t i = 0; i < mean.size(); ++i) {
                    mean[i] += keys_[static_cast<size_t>(key)][i] / static_cast<double>(end - block * 128);
                }
            }
            mean_keys_.push_back(std::move(mean));
        }
    }

    oracle_flexprefill_head keep() const {
        const true_sums sums = oracle_sums(args_, segment_, keys_, head_, 128);
        std::vector<double> blocks(static_cast<size_t>(n_blocks_));
        std::vector<double> groups(blocks.size());
        const int64_t shifted = reference_ ? n_blocks_ * 128 - n_keys_ : 0;
        for (int64_t i = 0; i < n_keys_; ++i) {
            blocks[static_cast<size_t>(i / 128)] += sums.vertical[static_cast<size_t>(i)];
            groups[static_cast<size_t>((i + shifted) / 128)] += sums.slash[static_cast<size_t>(i)];
        }
        oracle_flexprefill_head kept;
        const double distance = distance_of(blocks);
        kept.query_aware = distance < tau_;
        kept.undecided = std::fabs(distance - tau_) < 1e-3;
        kept.block = within_budget(blocks, sums.vertical, kept.query_aware);
        kept.group = within_budget(groups, sums.slash, kept.query_aware);
        if (kept.query_aware) {
            kept.scored = scored_blocks();
        }
        return kept;
    }

  private:
    std::vector<double> means_weights(int64_t begin, int64_t end, int64_t n) const {
        const std::vector<double> q = oracle_mean_query(args_, segment_, head_, begin, end);
        std::vector<double> weights;
        for (int64_t block = 0; block < n; ++block) {
            double product = 0;
            for (size_t i = 0; i < q.size(); ++i) {
                product += q[i] * mean_keys_[static_cast<size_t>(block)][i];
            }
            weights.push_back(product * static_cast<double>(args_.scale));
        }
        softmax(weights);
        return weights;
    }

    double distance_of(const std::vector<double> & blocks) const {
        const std::vector<double> by_means =
            means_weights(std::max(segment_.row_begin, segment_.row_end - 128), segment_.row_end, n_blocks_);
        double divergence = 0;
        for (size_t i = 0; i < blocks.size(); ++i) {
            const double middle = (by_means[i] + blocks[i]) / 2;
            divergence += by_means[i] == 0 ? 0 : 0.5 * by_means[i] * std::log(by_means[i] / middle);
            divergence += blocks[i] == 0 ? 0 : 0.5 * blocks[i] * std::log(blocks[i] / middle);
        }
        return std::sqrt(std::max(0.0, divergence));
    }

    int64_t clamped(int64_t n) const {
        int64_t blocks = std::max(n, min_blocks_);
        if (max_blocks_ > 0) {
            blocks = std::min(blocks, max_blocks_);
        }
        return std::min(std::max<int64_t>(blocks, 1), n_blocks_);
    }

    std::vector<kept_state> within_budget(const std::vector<double> & pooled, const std::vector<double> & weights,
                                          bool query_aware) const {
        const auto wanted = [&](double gamma) -> int64_t {
            if (query_aware) {
                return 0;
            }
            if (reference_) {
                return (1 + number_reaching(weights, gamma, false, false)) / 128 + 1;
            }
            return gamma_ >= 1 ? n_blocks_ : number_reaching(pooled, gamma, true, true);
        };
        return between(largest(pooled, clamped(wanted(gamma_ - 1e-5)), 1),
                       largest(pooled, clamped(wanted(gamma_ + 1e-5)), 1));
    }

    std::vector<kept_state> scored_blocks() const {
        const int64_t n_rows = segment_.row_end - segment_.row_begin;
        const int64_t n_tiles = (n_rows + 127) / 128;
        std::vector<double> scores(static_cast<size_t>(n_tiles * n_blocks_));
        for (int64_t tile = 0; tile < n_tiles; ++tile) {
            const int64_t end = std::min(n_rows, tile * 128 + 128);
            const int64_t n_seen = (segment_.rank_begin + end - 1) / 128 + 1;
            const std::vector<double> weights =
                means_weights(segment_.row_begin + tile * 128, segment_.row_begin + end, n_seen);
            std::copy(weights.begin(), weights.end(), scores.begin() + tile * n_blocks_);
        }
        const auto keeps = [&](double gamma) {
            const double wanted = gamma * static_cast<double>(n_tiles);
            const bool all = !reference_ && gamma_ >= 1;
            const int64_t n =
                all ? static_cast<int64_t>(scores.size()) : number_reaching(scores, wanted, false, !reference_);
            return n == 0 ? std::vector<kept_state>(scores.size(), kept_state::no) : largest(scores, n, 0);
        };
        return between(keeps(gamma_ - 1e-5), keeps(gamma_ + 1e-5));
    }

    const attention_args & args_;
    const attention_segment & segment_;
    const double gamma_;
    const double tau_;
    const int64_t min_blocks_;
    const int64_t max_blocks_;
    const bool reference_;
    const int64_t head_;
    const std::vector<std::vector<double>> keys_;
    const int64_t n_keys_;
    const int64_t n_blocks_;
    std::vector<std::vector<double>> mean_keys_;
};

inline block_oracle flexprefill_oracle(const bitmap_shape & shape, bool reference,
                                       std::vector<oracle_flexprefill_head> heads) {
    return [shape, reference, heads = std::move(heads)](int64_t head, int64_t tile, int64_t block) {
        const oracle_flexprefill_head & of = heads[static_cast<size_t>(head)];
        if (of.undecided) {
            return kept_state::maybe;
        }
        const int64_t first_row = shape.ranks.begin + tile * 128;
        kept_state state = met_lines(
            first_row, {block * 128, block * 128 + 128},
            [&](int64_t s) {
                const auto group = static_cast<size_t>(s / 128);
                return !reference && group < of.group.size() ? of.group[group] : kept_state::no;
            },
            [&](int64_t) { return of.block[static_cast<size_t>(block)]; });
        for (int64_t row = first_row; row < first_row + 128 && reference; ++row) {
            const auto group = static_cast<size_t>(row / 128 - block);
            state = std::max(state, group < of.group.size() ? of.group[group] : kept_state::no);
        }
        if (of.query_aware) {
            const auto n_blocks = static_cast<int64_t>(of.block.size());
            state = std::max(state, of.scored[static_cast<size_t>(tile * n_blocks + block)]);
        }
        return state;
    };
}

inline std::vector<line_method_case> flexprefill_cases() {
    std::mt19937_64 random(6);
    const auto pick = [&](std::initializer_list<double> from) { return from.begin()[random() % from.size()]; };
    std::vector<line_method_case> cases;
    const auto method = *find_selection_method("flexprefill");
    for (int64_t i = 0; i < wanted_line_cases(); ++i) {
        line_method_case each{random_line_case(random), usual_rule(method)};
        each.rule.values = {pick({0, 0.3, 0.5, 0.7, 0.9, 1}), pick({0, 0.1, 0.3, 0.6, 1}), pick({0, 0, 100, 256}),
                            pick({0, 0, 300}), pick({0, 0, 1})};
        cases.push_back(std::move(each));
    }
    return without_most_if_reduced(std::move(cases));
}

}  // namespace tmx::test
