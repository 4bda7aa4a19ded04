// vertical_slash_oracle.h -- the bits of method vertical_slash, from the comment of src/select/vertical_slash.h.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "line_method_cases.h"

namespace tmx::test {

// Of one head: which verticals and slashes are kept.
struct oracle_lines {
    std::vector<kept_state> vertical;
    std::vector<kept_state> slash;
};

inline std::vector<oracle_lines> vertical_slash_lines(const attention_args & args, const attention_segment & segment,
                                                      const selection_rule & rule) {
    std::vector<oracle_lines> heads;
    for (int64_t head = 0; head < args.n_head; ++head) {
        const auto keys = decoded_keys(args, segment, head / (args.n_head / args.n_head_kv));
        const true_sums sums = oracle_sums(args, segment, keys, head, 64);
        const auto n_verticals = static_cast<int64_t>(rule.values[0]);
        const auto n_slashes = static_cast<int64_t>(rule.values[1]);
        const int64_t least = rule.values[2] != 0 ? 50 : 100;
        heads.push_back({largest(sums.vertical, std::max<int64_t>(n_verticals, 30), 30),
                         largest(sums.slash, std::max(n_slashes, least), 100)});
    }
    return heads;
}

// With reference = 0.
inline block_oracle vertical_slash_oracle(const bitmap_shape & shape, std::vector<oracle_lines> lines) {
    return [shape, lines = std::move(lines)](int64_t head, int64_t tile, int64_t block) {
        const oracle_lines & of = lines[static_cast<size_t>(head)];
        const auto state = [&](const std::vector<kept_state> & states, int64_t i) {
            return i < static_cast<int64_t>(states.size()) ? states[static_cast<size_t>(i)] : kept_state::no;
        };
        return met_lines(
            shape.ranks.begin + tile * 128, {block * 16, block * 16 + 16},
            [&](int64_t s) { return state(of.slash, s); }, [&](int64_t key) { return state(of.vertical, key); });
    };
}

inline std::vector<line_method_case> vertical_slash_cases(bool reference) {
    std::mt19937_64 random(reference ? 4 : 3);
    std::vector<line_method_case> cases;
    const auto method = *find_selection_method("vertical_slash");
    for (int64_t i = 0; i < wanted_line_cases(); ++i) {
        line_method_case each{random_line_case(random), usual_rule(method)};
        each.rule.values[0] = static_cast<double>(random() % 3 == 0 ? 0 : random() % 300);
        each.rule.values[1] = static_cast<double>(random() % 3 == 0 ? 0 : random() % 500);
        each.rule.values[2] = reference ? 1 : 0;
        cases.push_back(std::move(each));
    }
    return without_most_if_reduced(std::move(cases));
}

}  // namespace tmx::test
