#include "recall/layer_recall.h"

#include <cmath>
#include <string>

#include "recall/block_masses.h"
#include "runtime/failure.h"
#include "trianglemix/selection.h"

namespace tmx {
namespace {

void check(const status & result) {
    if (!result.ok()) {
        throw failure(std::string("a captured layer: ") + result.message());
    }
}

int64_t decile_of(int64_t row, int64_t n_rows) {
    return row * k_deciles / n_rows;
}

}  // namespace

layer_recall::layer_recall(const capture_facts & facts, captured_layer layer, const recall_options & options)
    : facts_(facts), layer_(std::move(layer)), options_(options) {
    context_.n_threads = options.n_threads;
    out_.resize(static_cast<size_t>(facts.n_tokens * facts.shape.n_head * facts.d_v));
    lse_.resize(static_cast<size_t>(facts.n_tokens * facts.shape.n_head));
    check(attention_forward(args(), ubatches(band{}), context_));
    dense_out_ = out_;
    dense_lse_ = lse_;
}

attention_args layer_recall::args() {
    attention_args a = layer_.args(facts_);
    a.out = out_.data();
    a.lse = lse_.data();
    return a;
}

std::vector<attention_segment> layer_recall::ubatches(const band & kept) const {
    std::vector<attention_segment> segments;
    for (int64_t begin = 0; begin < facts_.n_tokens; begin += options_.n_ubatch) {
        attention_segment segment;
        segment.row_begin = segment.rank_begin = begin;
        segment.row_end = smaller(begin + options_.n_ubatch, facts_.n_tokens);
        segment.kept = kept;
        segments.push_back(segment);
    }
    return segments;
}

double layer_recall::all_pairs() const {
    return static_cast<double>(kept_pairs(band{}, {0, facts_.n_tokens}) * facts_.shape.n_head);
}

recalled layer_recall::compared(double kept_pairs) const {
    recalled result;
    result.density = kept_pairs / all_pairs();
    const int64_t n = facts_.n_tokens;
    std::vector<double> n_rows(k_deciles);
    for (int64_t row = 0; row < n; ++row) {
        n_rows[static_cast<size_t>(decile_of(row, n))] += 1;
    }
    result.by_head.resize(static_cast<size_t>(facts_.shape.n_head * k_deciles));
    double sum = 0;
    for (int64_t head = 0; head < facts_.shape.n_head; ++head) {
        for (int64_t row = 0; row < n; ++row) {
            const auto at = static_cast<size_t>(head * n + row);
            const double recall = std::exp(double{lse_[at]} - dense_lse_[at]);
            const int64_t decile = decile_of(row, n);
            sum += recall;
            result.by_head[static_cast<size_t>(head * k_deciles + decile)] +=
                recall / n_rows[static_cast<size_t>(decile)];
        }
    }
    result.recall = sum / static_cast<double>(n * facts_.shape.n_head);
    double difference = 0;
    double size = 0;
    for (size_t i = 0; i < out_.size(); ++i) {
        difference += std::pow(double{out_[i]} - dense_out_[i], 2);
        size += std::pow(double{dense_out_[i]}, 2);
    }
    result.error = std::sqrt(difference / size);
    return result;
}

recalled layer_recall::of_rule(const selection_rule & rule) {
    const std::vector<attention_segment> segments = ubatches(k_no_band);
    const std::vector<uint8_t> selected(segments.size(), 1);
    const selection_request request{
        .rule = rule,
        .selected = selected,
        .per_query_head = options_.per_query_head || selection_method_of(rule.method).per_query_head,
        .rotary = facts_.rotary};
    int64_t kept = 0;
    check(selected_attention_forward(request, args(), segments, context_, &kept));
    return compared(static_cast<double>(kept));
}

recalled layer_recall::of_band(const band & kept) {
    check(attention_forward(args(), ubatches(kept), context_));
    return compared(static_cast<double>(kept_pairs(kept, {0, facts_.n_tokens}) * facts_.shape.n_head));
}

std::vector<recalled> layer_recall::of_oracle(const std::vector<double> & shares) const {
    const std::vector<oracle_sum> sums =
        oracle_sums(layer_.args(facts_), dense_lse_.data(), shares, options_.n_threads);
    std::vector<recalled> results(shares.size());
    for (size_t i = 0; i < shares.size(); ++i) {
        results[i].density = sums[i].pairs / all_pairs();
        results[i].recall = sums[i].mass / static_cast<double>(facts_.n_tokens * facts_.shape.n_head);
    }
    return results;
}

}  // namespace tmx
