#include "select/cpu/flexprefill.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>

#include "select/cpu/block_means.h"
#include "select/methods.h"
#include "trianglemix/line_sums.h"

namespace tmx {
namespace {

float dot(const float * a, const float * b, int64_t n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

// What the heads of a call share.
struct flexprefill_call {
    const flexprefill_values & values;
    const cpu_selection_call & call;
    const line_sums & sums;
    const select_cpu::block_means & key_means;

    int64_t n_blocks() const { return blocks_of({0, sums.n_keys}).end; }
    const float * means_of(int64_t head) const {
        return key_means.means(head / (call.args.n_head / call.args.n_head_kv));
    }
};

// Mean of rows [rows.begin, rows.end) of n_q.
std::vector<float> mean_query(const cpu_selection_call & call, int64_t head, index_range rows) {
    const attention_args & args = call.args;
    std::vector<float> mean(static_cast<size_t>(args.d_qk));
    for (int64_t row = rows.begin; row < rows.end; ++row) {
        const float * q =
            args.q + call.segment.batch * args.q_stride_batch + head * args.q_stride_head + row * args.q_stride_row;
        for (int64_t i = 0; i < args.d_qk; ++i) {
            mean[static_cast<size_t>(i)] += q[i];
        }
    }
    for (float & each : mean) {
        each /= static_cast<float>(rows.size());
    }
    return mean;
}

// softmax over blocks [0, n) of scale * query . mean key.
std::vector<double> weights_of(const flexprefill_call & flex, int64_t head, const std::vector<float> & query,
                               int64_t n) {
    std::vector<double> weights(static_cast<size_t>(n));
    const int64_t d = flex.call.args.d_qk;
    const float * means = flex.means_of(head);
    double most = -std::numeric_limits<double>::infinity();
    for (int64_t block = 0; block < n; ++block) {
        const double logit =
            static_cast<double>(flex.call.args.scale) * static_cast<double>(dot(query.data(), means + block * d, d));
        weights[static_cast<size_t>(block)] = logit;
        most = std::max(most, logit);
    }
    double sum = 0;
    for (double & weight : weights) {
        weight = std::exp(weight - most);
        sum += weight;
    }
    for (double & weight : weights) {
        weight /= sum;
    }
    return weights;
}

bool is_query_aware(const flexprefill_call & flex, int64_t head) {
    const attention_segment & segment = flex.call.segment;
    const index_range rows{larger(segment.row_begin, segment.row_end - k_flexprefill_rows), segment.row_end};
    const std::vector<double> by_means = weights_of(flex, head, mean_query(flex.call, head, rows), flex.n_blocks());
    const std::vector<float> by_rows = block_masses(flex.sums.vertical_of(head));
    return pattern_distance(by_means, by_rows) < flex.values.tau;
}

std::vector<float> tile_scores(const flexprefill_call & flex, int64_t head, const bitmap_shape & shape) {
    std::vector<float> scores(static_cast<size_t>(shape.n_tiles() * flex.n_blocks()));
    for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
        const index_range ranks = shape.rows_of(tile);
        const int64_t row = flex.call.segment.row_begin + ranks.begin - shape.ranks.begin;
        const std::vector<float> query = mean_query(flex.call, head, {row, row + ranks.size()});
        const std::vector<double> weights = weights_of(flex, head, query, blocks_of(ranks).end);
        std::transform(weights.begin(), weights.end(), scores.begin() + tile * flex.n_blocks(),
                       [](double weight) { return static_cast<float>(weight); });
    }
    return scores;
}

void select_head(const flexprefill_call & flex, int64_t head, block_bitmap & bits) {
    const bool query_aware = is_query_aware(flex, head);
    add_lines(flex.values, keep_lines(flex.values, flex.sums.vertical_of(head), flex.sums.slash_of(head), query_aware),
              head, bits);
    if (query_aware) {
        add_scored(flex.values, tile_scores(flex, head, bits.shape), head, bits);
    }
}

}  // namespace

status select_flexprefill(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits) {
    const flexprefill_values values = flexprefill_of(rule);
    const select_cpu::kernel * steps = nullptr;
    if (status s = select_cpu::choose_kernel(call.options.kernel, steps); !s.ok()) {
        return s;
    }
    line_sums sums;
    if (status s = sum_lines(call.args, call.segment, k_flexprefill_rows, call.n_threads, sums, call.options.kernel);
        !s.ok()) {
        return s;
    }
    const select_cpu::block_means key_means(*steps, {call.args, call.segment}, blocks_of({0, sums.n_keys}).end, false,
                                            call.n_threads);
    const flexprefill_call flex{values, call, sums, key_means};
    bool out_of_memory = false;
#pragma omp parallel for num_threads(call.n_threads) schedule(dynamic, 1) reduction(|| : out_of_memory)
    for (int64_t head = 0; head < call.args.n_head; ++head) {
        try {
            select_head(flex, head, bits);
        } catch (const std::exception &) {
            out_of_memory = true;
        }
    }
    return out_of_memory ? status::error(status_code::out_of_memory, "no memory to select lines") : status();
}

}  // namespace tmx
