#include "backend/segments.h"

#include <algorithm>

namespace tmx {
namespace {

// What the plan makes of a run of a layer that it treats.
std::vector<row_segment> planned_parts(const ubatch_runs & found, const causal_run & run, const layer_rule & rule) {
    const index_range ranks{run.rank_begin, run.rank_begin + run.rows()};
    const bool in_prompt = found.runs.size() == 1 && found.masked.empty() && ranks.end <= rule.prompt_length;
    triangle_shape shape = rule.shape;
    if (!rule.banded()) {
        shape.n_sink = k_no_band.n_sink;
        shape.n_window = k_no_band.n_window;
    }
    return resolve_segments(shape, rule.tail, {ranks, in_prompt ? rule.prompt_length : -1}, run.output_rows);
}

}  // namespace

std::vector<attention_segment> make_segments(const ubatch_runs & found, const layer_rule & rule) {
    std::vector<attention_segment> segments;
    for (const causal_run & run : found.runs) {
        std::vector<row_segment> parts{{{0, run.rows()}, band{}}};
        if (run.ordered && rule.treats(run)) {
            parts = planned_parts(found, run, rule);
        }
        for (const row_segment & part : parts) {
            segments.push_back({.batch = run.stream,
                                .masked = false,
                                .row_begin = run.row_begin + part.rows.begin,
                                .row_end = run.row_begin + part.rows.end,
                                .rank_begin = run.rank_begin + part.rows.begin,
                                .key_begin = run.cells.empty() ? run.key_begin : 0,
                                .cells = run.cells.empty() ? nullptr : run.cells.data(),
                                .kept = part.kept});
        }
    }
    for (const masked_rows & rows : found.masked) {
        segments.push_back({.batch = rows.stream,
                            .masked = true,
                            .row_begin = rows.row_begin,
                            .row_end = rows.row_end,
                            .rank_begin = 0,
                            .key_begin = 0,
                            .cells = nullptr,
                            .kept = {}});
    }
    return segments;
}

std::vector<uint8_t> selected_marks(const ubatch_runs & found, const std::vector<attention_segment> & segments,
                                    const layer_rule & rule) {
    std::vector<uint8_t> marks;
    for (const attention_segment & segment : segments) {
        marks.push_back(0);
        if (segment.masked || segment.kept.dense()) {
            continue;
        }
        const auto run = std::find_if(found.runs.begin(), found.runs.end(), [&](const causal_run & each) {
            return each.stream == segment.batch && each.row_begin <= segment.row_begin &&
                   segment.row_begin < each.row_end;
        });
        marks.back() = static_cast<uint8_t>(rule.n_in_force(*run));
    }
    const bool any = std::any_of(marks.begin(), marks.end(), [](uint8_t mark) { return mark != 0; });
    return any ? marks : std::vector<uint8_t>{};
}

layer_request::layer_request(const layer_rule & rule, std::span<const uint8_t> marks, int64_t n_head_kv) {
    const layer_heads & heads = *rule.heads;
    const std::vector<int32_t> & of_head = heads.rule_of_head;
    for (const dynamic_rule & each : heads.rules) {
        rules_.push_back(each.selection);
        request_.per_query_head |= selection_method_of(each.selection.method).per_query_head;
    }
    request_.rule = rules_.front();
    request_.selected = marks;
    if (of_head.empty()) {
        return;
    }
    request_.heads = {.rules = rules_, .of_head = of_head, .otherwise = heads.otherwise()};
    const size_t group = of_head.size() / static_cast<size_t>(n_head_kv);
    for (size_t head = 0; head < of_head.size(); ++head) {
        request_.per_query_head |= of_head[head] != of_head[head / group * group];
    }
}

int64_t unordered_rows(const ubatch_runs & found, const layer_rule & rule) {
    int64_t n_rows = 0;
    for (const causal_run & run : found.runs) {
        if (run.ordered || !rule.treats(run)) {
            continue;
        }
        for (const row_segment & part : planned_parts(found, run, rule)) {
            const index_range ranks{run.rank_begin + part.rows.begin, run.rank_begin + part.rows.end};
            if (kept_pairs(part.kept, ranks) < kept_pairs(band{}, ranks)) {
                n_rows += part.rows.end - part.rows.begin;
            }
        }
    }
    return n_rows;
}

pair_count & pair_count::operator+=(const pair_count & other) {
    kept += other.kept;
    skipped += other.skipped;
    masked += other.masked;
    flops += other.flops;
    bytes += other.bytes;
    return *this;
}

pair_count count_pairs(const ubatch_runs & found, const std::vector<attention_segment> & segments,
                       const node_shape & shape, std::span<const uint8_t> marks) {
    pair_count sum;
    const auto n_dense = static_cast<double>(shape.n_dense_head);
    const auto n_banded = static_cast<double>(shape.n_head - shape.n_dense_head);
    const double pair_flops = shape.pair_flops();
    for (size_t i = 0; i < segments.size(); ++i) {
        const attention_segment & segment = segments[i];
        if (segment.masked) {
            continue;
        }
        const bool selected = !marks.empty() && marks[i] != 0;
        const int64_t n_rows = segment.row_end - segment.row_begin;
        const index_range ranks{segment.rank_begin, segment.rank_begin + n_rows};
        const bool whole = selected || shape.n_dense_head > 0;  // some row keeps about every key
        const work_count read = count_work(whole ? band{} : segment.kept, ranks, shape.n_head, shape.n_head_kv,
                                           shape.d_qk, shape.d_v, shape.kv_bytes_per_elem);
        sum.bytes += read.kv_bytes + read.query_bytes;
        if (selected) {
            continue;
        }
        const auto kept = static_cast<double>(kept_pairs(segment.kept, ranks));
        const auto all = static_cast<double>(kept_pairs(band{}, ranks));
        const double kept_sum = kept * n_banded + all * n_dense;
        sum.kept += kept_sum;
        sum.skipped += (all - kept) * n_banded;
        sum.flops += kept_sum * pair_flops;
    }
    for (const masked_rows & rows : found.masked) {
        const int64_t visible = rows.n_visible >= 0 ? rows.n_visible : rows.rows() * shape.n_kv;
        const double pairs = static_cast<double>(visible) * static_cast<double>(shape.n_head);
        // One causal row over all keys visits the whole key axis once, which is what a masked segment may read.
        const work_count read = count_work(band{}, {shape.n_kv - 1, shape.n_kv}, shape.n_head, shape.n_head_kv,
                                           shape.d_qk, shape.d_v, shape.kv_bytes_per_elem);
        sum += {.kept = 0,
                .skipped = 0,
                .masked = pairs,
                .flops = pairs * pair_flops,
                .bytes = read.kv_bytes + read.query_bytes * static_cast<double>(rows.rows())};
    }
    return sum;
}

}  // namespace tmx
