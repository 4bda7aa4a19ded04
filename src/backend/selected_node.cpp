#include "backend/selected_node.h"

#include "trianglemix/plan.h"

namespace tmx {

selection_counts & selection_counts::operator+=(const selection_counts & other) {
    nodes += other.nodes;
    timed_nodes += other.timed_nodes;
    kept += other.kept;
    causal += other.causal;
    seconds += other.seconds;
    return *this;
}

selected_node::selected_node(const selection_request & request, std::span<const attention_segment> segments,
                             const node_shape & shape)
    : causal_(request.n_sums()), pair_flops_(shape.pair_flops()) {
    if (request.heads_differ()) {
        for (const selection_rule & rule : request.heads.rules) {
            rules_.push_back(format_selection(rule));
        }
    } else {
        rules_.push_back(format_selection(request.rule));
    }
    for (size_t i = 0; i < segments.size(); ++i) {
        const uint8_t mark = request.selected[i];
        if (mark == 0) {
            continue;
        }
        const int64_t n_rows = segments[i].row_end - segments[i].row_begin;
        const int64_t pairs = kept_pairs(band{}, {segments[i].rank_begin, segments[i].rank_begin + n_rows});
        for (int64_t head = 0; head < shape.n_head; ++head) {
            causal_[request.sum_of(static_cast<size_t>(head), mark)] += pairs;
        }
    }
}

selected_record selected_node::record(std::span<const int64_t> kept, std::span<const double> seconds) const {
    selected_record made;
    for (size_t i = 0; i < causal_.size(); ++i) {
        const auto pairs = static_cast<double>(kept[i]);
        const auto causal = static_cast<double>(causal_[i]);
        made.pairs.kept += pairs;
        made.pairs.skipped += causal - pairs;
        made.pairs.flops += pairs * pair_flops_;
        if (i < rules_.size() && causal_[i] > 0) {
            made.rules.push_back({rules_[i],
                                  {.nodes = 1,
                                   .timed_nodes = seconds.empty() ? 0 : 1,
                                   .kept = pairs,
                                   .causal = causal,
                                   .seconds = seconds.empty() ? 0 : seconds[i]}});
        }
    }
    return made;
}

selected_record selected_node::record_of_all() const {
    return record(causal_, {});
}

}  // namespace tmx
