#include "eval/run/answer_distance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tmx {
namespace {

constexpr double k_confident = 0.1;

// The k likeliest tokens, likeliest first; of equal ones the lower number.
std::vector<int32_t> top_tokens(std::span<const float> logits, size_t k) {
    std::vector<int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    k = std::min(k, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                      [&](int32_t a, int32_t b) {
                          const float x = logits[static_cast<size_t>(a)];
                          const float y = logits[static_cast<size_t>(b)];
                          return x > y || (x == y && a < b);
                      });
    order.resize(k);
    return order;
}

double shared_top(std::span<const float> reference, std::span<const float> other, size_t k) {
    std::vector<int32_t> a = top_tokens(reference, k);
    std::vector<int32_t> b = top_tokens(other, k);
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    std::vector<int32_t> both;
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
    return static_cast<double>(both.size()) / static_cast<double>(a.size());
}

double jensen_shannon(std::span<const float> reference, std::span<const float> other) {
    const std::vector<double> p = log_softmax(reference);
    const std::vector<double> q = log_softmax(other);
    double sum = 0;
    for (size_t i = 0; i < p.size(); ++i) {
        const double a = std::exp(p[i]);
        const double b = std::exp(q[i]);
        const double middle = std::log((a + b) / 2);
        sum += a > 0 ? a * (p[i] - middle) / 2 : 0;
        sum += b > 0 ? b * (q[i] - middle) / 2 : 0;
    }
    return std::max(0.0, sum);
}

int64_t rank_in(std::span<const float> logits, int32_t token) {
    const float mine = logits[static_cast<size_t>(token)];
    int64_t before = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
        before += logits[i] > mine || (logits[i] == mine && static_cast<int32_t>(i) < token) ? 1 : 0;
    }
    return before;
}

}  // namespace

first_token_distance compare_first(std::span<const float> reference, std::span<const float> other) {
    first_token_distance d;
    const int32_t top = argmax(reference);
    d.kl = kl_divergence(reference, other);
    d.js = jensen_shannon(reference, other);
    d.same_top = top == argmax(other);
    d.top5 = shared_top(reference, other, 5);
    d.top50 = shared_top(reference, other, 50);
    d.rank = rank_in(other, top);
    d.margin = top_margin(reference);
    return d;
}

following_distance compare_following(const logit_rows & reference, const logit_rows & other,
                                     std::span<const token_id> forced) {
    struct position {
        double kl = 0;
        double dp = 0;
        bool flip = false;
        bool confident = false;
    };
    std::vector<position> positions(reference.size());
    const auto n = static_cast<int64_t>(reference.size());
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<size_t>(i);
        const std::vector<double> p = log_softmax(reference[at]);
        const std::vector<double> q = log_softmax(other[at]);
        const auto token = static_cast<size_t>(forced[at]);
        positions[at] = {kl_divergence(reference[at], other[at]), std::exp(q[token]) - std::exp(p[token]),
                         argmax(reference[at]) != argmax(other[at]), top_margin(reference[at]) > k_confident};
    }
    following_distance d;
    d.n = n;
    std::vector<double> kls;
    double squares = 0;
    for (const position & each : positions) {
        kls.push_back(each.kl);
        d.flips += each.flip ? 1 : 0;
        d.confident += each.confident ? 1 : 0;
        d.confident_flips += each.confident && each.flip ? 1 : 0;
        d.dp_mean += each.dp / static_cast<double>(n);
        squares += each.dp * each.dp / static_cast<double>(n);
        d.kl_mean += each.kl / static_cast<double>(n);
        d.kl_max = std::max(d.kl_max, each.kl);
    }
    d.dp_rms = std::sqrt(squares);
    constexpr size_t k_quarters = 4;
    for (size_t quarter = 0; quarter < k_quarters && kls.size() >= k_quarters; ++quarter) {
        const auto begin = kls.begin() + static_cast<std::ptrdiff_t>(quarter * kls.size() / k_quarters);
        const auto end = kls.begin() + static_cast<std::ptrdiff_t>((quarter + 1) * kls.size() / k_quarters);
        d.kl_quarters.push_back(std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin));
    }
    d.kl_median = quantile(kls, 0.5);
    d.kl_p95 = quantile(kls, 0.95);
    d.kl_p99 = quantile(kls, 0.99);
    return d;
}

double negative_log_likelihood(const logit_rows & rows, std::span<const token_id> tokens) {
    std::vector<double> each(rows.size());
    const auto n = static_cast<int64_t>(rows.size());
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<size_t>(i);
        each[at] = -log_softmax(rows[at])[static_cast<size_t>(tokens[at])];
    }
    return std::accumulate(each.begin(), each.end(), 0.0);
}

double forced_likelihood(session & s, const std::vector<float> & first, std::span<const token_id> tokens) {
    constexpr size_t k_piece = 32;  // rows of a large vocabulary take much memory
    double sum = negative_log_likelihood({first}, tokens.first(1));
    const size_t n = tokens.size() - 1;
    for (size_t at = 0; at < n; at += k_piece) {
        const size_t length = std::min(k_piece, n - at);
        sum += negative_log_likelihood(s.force(tokens.subspan(at, length)), tokens.subspan(at + 1, length));
    }
    return sum;
}

nlohmann::ordered_json to_json(const first_token_distance & d) {
    return {{"kl", d.kl},       {"js", d.js},     {"same_top", d.same_top}, {"top5", d.top5},
            {"top50", d.top50}, {"rank", d.rank}, {"margin", d.margin}};
}

nlohmann::ordered_json to_json(const following_distance & d) {
    return {{"n", d.n},
            {"kl_mean", d.kl_mean},
            {"kl_median", d.kl_median},
            {"kl_p95", d.kl_p95},
            {"kl_p99", d.kl_p99},
            {"kl_max", d.kl_max},
            {"flips", d.flips},
            {"confident", d.confident},
            {"confident_flips", d.confident_flips},
            {"dp_mean", d.dp_mean},
            {"dp_rms", d.dp_rms},
            {"kl_quarters", d.kl_quarters}};
}

}  // namespace tmx
