// line_oracle.h -- weights of a segment's last rows along lines, in double precision and one pair at a time; and which
// lines a budget keeps, with those set apart that rounding may decide.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "oracle.h"
#include "trianglemix/attention.h"

namespace tmx::test {

// All keys of a key head that the segment sees, in the order of their ranks, [rank][d].
inline std::vector<std::vector<double>> decoded_keys(const attention_args & args, const attention_segment & segment,
                                                     int64_t key_head) {
    const int64_t n_keys = segment.rank_begin + segment.row_end - segment.row_begin;
    std::vector<std::vector<double>> keys(static_cast<size_t>(n_keys));
    for (int64_t rank = 0; rank < n_keys; ++rank) {
        const int64_t index = segment.cells != nullptr ? segment.cells[rank] : segment.key_begin + rank;
        const int64_t offset =
            segment.batch * args.k_stride_batch + key_head * args.k_stride_head + index * args.k_stride_row;
        for (int64_t i = 0; i < args.d_qk; ++i) {
            keys[static_cast<size_t>(rank)].push_back(static_cast<double>(element(args.k, args.k_type, offset + i)));
        }
    }
    return keys;
}

inline const float * query_of(const attention_args & args, const attention_segment & segment, int64_t head,
                              int64_t row) {
    return args.q + segment.batch * args.q_stride_batch + head * args.q_stride_head + row * args.q_stride_row;
}

inline double logit(const attention_args & args, const double * q, const std::vector<double> & key) {
    double product = 0;
    for (size_t i = 0; i < key.size(); ++i) {
        product += q[i] * key[i];
    }
    const double value = static_cast<double>(args.scale) * product;
    const auto cap = static_cast<double>(args.logit_softcap);
    return cap > 0 ? cap * std::tanh(value / cap) : value;
}

inline void softmax(std::vector<double> & logits) {
    const double most = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (double & each : logits) {
        each = std::exp(each - most);
        sum += each;
    }
    for (double & each : logits) {
        each /= sum;
    }
}

struct true_sums {
    std::vector<double> vertical;  // [key]
    std::vector<double> slash;     // [distance]
};

inline true_sums oracle_sums(const attention_args & args, const attention_segment & segment,
                             const std::vector<std::vector<double>> & keys, int64_t head, int64_t n_rows) {
    true_sums sums;
    sums.vertical.resize(keys.size());
    sums.slash.resize(keys.size());
    const int64_t first = std::max(segment.row_begin, segment.row_end - n_rows);
    for (int64_t row = first; row < segment.row_end; ++row) {
        const int64_t rank = segment.rank_begin + row - segment.row_begin;
        const float * query = query_of(args, segment, head, row);
        const std::vector<double> q(query, query + args.d_qk);
        std::vector<double> weights;
        for (int64_t key = 0; key <= rank; ++key) {
            weights.push_back(logit(args, q.data(), keys[static_cast<size_t>(key)]));
        }
        softmax(weights);
        for (int64_t key = 0; key <= rank; ++key) {
            const double share = weights[static_cast<size_t>(key)] / static_cast<double>(segment.row_end - first);
            sums.vertical[static_cast<size_t>(key)] += share;
            sums.slash[static_cast<size_t>(rank - key)] += share;
        }
    }
    return sums;
}

// Whether a budget keeps something: `maybe` where sums that differ by their rounding would decide otherwise.
enum class kept_state : uint8_t { no, maybe, yes };

// Sums of f32 weights, whose exponents are rounded, too, are off by that share at most: exponents of up to 2^6 are off
// by 2^-18 = 4e-6 where products of 128 terms add a few times as much.
constexpr double k_sum_error = 1e-4;

// What a cut through the falling order of `masses` keeps: those clearly above `least_kept` for sure, those near one of
// the two cuts maybe.
inline std::vector<kept_state> states_of(const std::vector<double> & masses, double surely_above, double maybe_above) {
    std::vector<kept_state> states;
    for (const double mass : masses) {
        states.push_back(mass > surely_above * (1 + k_sum_error)  ? kept_state::yes
                         : mass < maybe_above * (1 - k_sum_error) ? kept_state::no
                                                                  : kept_state::maybe);
    }
    return states;
}

// The `n` largest, the first n_forced before all.
inline std::vector<kept_state> largest(std::vector<double> masses, int64_t n, int64_t n_forced) {
    for (int64_t i = 0; i < std::min<int64_t>(n_forced, static_cast<int64_t>(masses.size())); ++i) {
        masses[static_cast<size_t>(i)] = 1e9;
    }
    if (n >= static_cast<int64_t>(masses.size())) {
        return std::vector<kept_state>(masses.size(), kept_state::yes);
    }
    std::vector<double> sorted = masses;
    std::sort(sorted.rbegin(), sorted.rend());
    const double last = sorted[static_cast<size_t>(n) - 1];
    const double next = sorted[static_cast<size_t>(n)];
    // Where the cut is a clear step, nothing is near it.
    const bool clear = next < last * (1 - 2 * k_sum_error);
    return clear ? states_of(masses, (last + next) / 2, (last + next) / 2) : states_of(masses, last, last);
}

}  // namespace tmx::test
