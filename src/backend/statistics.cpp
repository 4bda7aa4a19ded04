#include "backend/statistics.h"

#include <algorithm>
#include <utility>

#include "trianglemix/attention.h"

namespace tmx {
namespace {

constexpr size_t k_most_ways = 32;  // a host may change plans without end

}  // namespace

node_shape shape_of_node(const attention_args & args) {
    node_shape shape{.n_head = args.n_head,
                     .n_head_kv = args.n_head_kv,
                     .n_kv = args.n_kv,
                     .d_qk = args.d_qk,
                     .d_v = args.d_v,
                     .n_dense_head = 0,
                     .kv_bytes_per_elem =
                         static_cast<double>(block_bytes(args.k_type)) / static_cast<double>(block_elems(args.k_type))};
    if (args.dense_head != nullptr) {
        shape.n_dense_head =
            std::count_if(args.dense_head, args.dense_head + args.n_head, [](uint8_t dense) { return dense != 0; });
    }
    return shape;
}

node_record describe_node(const attention_args & args, int32_t layer, const layer_rule & rule,
                          const ubatch_runs & found, const std::vector<attention_segment> & segments,
                          std::span<const uint8_t> marks, double seconds) {
    node_record record{.kind = node_kind::dense,
                       .layer = layer,
                       .rule = rule,
                       .unordered_rows = unordered_rows(found, rule),
                       .found = &found,
                       .pairs = count_pairs(found, segments, shape_of_node(args), marks),
                       .seconds = seconds};
    const bool ordered =
        std::any_of(found.runs.begin(), found.runs.end(), [](const causal_run & run) { return run.ordered; });
    if (!marks.empty()) {
        record.kind = node_kind::dynamic;
    } else if (rule.banded() && ordered) {
        record.kind = node_kind::triangle;
    } else if (!found.masked.empty()) {
        record.kind = node_kind::masked;
    }
    return record;
}

selection_counts layer_counts::selected() const {
    selection_counts sum;
    for (const auto & [rule, counts] : selections) {
        sum += counts;
    }
    return sum;
}

std::map<std::string, selection_counts> all_counts::selections() const {
    std::map<std::string, selection_counts> sums;
    for (const auto & [index, layer] : layers) {
        for (const auto & [rule, counts] : layer.selections) {
            sums[rule] += counts;
        }
    }
    return sums;
}

void statistics::count_ubatch(const ubatch_record & record) {
    if (whole_ != nullptr) {
        whole_->count_ubatch(record);
    }
    const std::lock_guard lock(mutex_);
    sums_.ubatches++;
    sums_.mixed_ubatches += record.found->runs.size() > 1;
    sums_.masked_ubatches += !record.found->masked.empty();
    for (const causal_run & run : record.found->runs) {
        if (!run.cells.empty()) {
            sums_.reordered_ubatches++;
            break;
        }
    }
    sums_.classify_seconds += record.seconds;
}

void statistics::count_node(const node_record & record) {
    if (whole_ != nullptr) {
        whole_->count_node(record);
    }
    const auto kind = static_cast<size_t>(record.kind);
    const std::lock_guard lock(mutex_);
    sums_.nodes[kind]++;
    for (const causal_run & run : record.found->runs) {
        const bool planned = run.ordered && record.rule.treats(run);
        (planned ? sums_.planned_runs : sums_.dense_runs)++;
        (planned ? sums_.planned_rows : sums_.dense_rows) += run.rows();
    }
    sums_.unordered_rows += record.unordered_rows;
    sums_.dense_rows -= record.unordered_rows;
    for (const masked_rows & rows : record.found->masked) {
        sums_.masked_runs++;
        sums_.masked_rows[static_cast<size_t>(rows.reason)] += rows.rows();
    }
    sums_.pairs += record.pairs;
    sums_.kind_pairs[kind] += record.pairs;
    sums_.seconds += record.seconds;
    if (record.rule.way != nullptr && sums_.ways.size() < k_most_ways) {
        sums_.ways.insert(*record.rule.way);
    }
    layer_counts & layer = sums_.layers[record.layer];
    layer.nodes[kind]++;
    layer.pairs += record.pairs;
    layer.seconds += record.seconds;
}

void statistics::count_selected(int32_t layer, const selected_record & record) {
    if (whole_ != nullptr) {
        whole_->count_selected(layer, record);
    }
    const std::lock_guard lock(mutex_);
    layer_counts & counts = sums_.layers[layer];
    sums_.pairs += record.pairs;
    sums_.kind_pairs[static_cast<size_t>(node_kind::dynamic)] += record.pairs;
    counts.pairs += record.pairs;
    for (const named_counts & each : record.rules) {
        if (counts.selections.size() < k_most_selections || counts.selections.contains(each.rule)) {
            counts.selections[each.rule] += each.counts;
        }
    }
}

void statistics::count_product(product_kind kind, const product_counts & done) {
    if (whole_ != nullptr) {
        whole_->count_product(kind, done);
    }
    const std::lock_guard lock(mutex_);
    product_counts & sum = sums_.products[kind];
    sum.nodes += done.nodes;
    sum.flops += done.flops;
    sum.seconds += done.seconds;
}

void statistics::count_norm(const norm_counts & done) {
    if (whole_ != nullptr) {
        whole_->count_norm(done);
    }
    const std::lock_guard lock(mutex_);
    sums_.norms.nodes += done.nodes;
    sums_.norms.seconds += done.seconds;
}

void statistics::count_embeddings(const embedding_counts & done) {
    if (whole_ != nullptr) {
        whole_->count_embeddings(done);
    }
    const std::lock_guard lock(mutex_);
    sums_.embeddings.rows += done.rows;
    sums_.embeddings.seconds += done.seconds;
}

void statistics::count_fallback(const char * reason) {
    if (whole_ != nullptr) {
        whole_->count_fallback(reason);
    }
    const std::lock_guard lock(mutex_);
    sums_.fallbacks[reason]++;
}

void statistics::note_refusal(const std::string & difference) {
    if (whole_ != nullptr) {
        whole_->note_refusal(difference);
    }
    const std::lock_guard lock(mutex_);
    sums_.refusal = difference;
}

void statistics::count_strict_failure(const std::string & reason) {
    if (whole_ != nullptr) {
        whole_->count_strict_failure(reason);
    }
    const std::lock_guard lock(mutex_);
    sums_.strict_failures[reason]++;
}

void statistics::count_graph(bool cut) {
    if (whole_ != nullptr) {
        whole_->count_graph(cut);
    }
    const std::lock_guard lock(mutex_);
    (cut ? sums_.cut_graphs : sums_.whole_graphs)++;
}

bool statistics::count_passed_on(const std::string & reason) {
    const bool first = whole_ == nullptr || whole_->count_passed_on(reason);
    const std::lock_guard lock(mutex_);
    return sums_.passed_on[reason]++ == 0 && first;
}

void statistics::count_feed_forward(double flops) {
    if (whole_ != nullptr) {
        whole_->count_feed_forward(flops);
    }
    const std::lock_guard lock(mutex_);
    sums_.feed_forward.blocks++;
    sums_.feed_forward.flops += flops;
}

bool statistics::count_passed_on_feed_forward(const std::string & reason) {
    const bool first = whole_ == nullptr || whole_->count_passed_on_feed_forward(reason);
    const std::lock_guard lock(mutex_);
    return sums_.feed_forward.passed_on[reason]++ == 0 && first;
}

void statistics::count_passed_on_pairs(int32_t layer, const pair_count & pairs) {
    if (whole_ != nullptr) {
        whole_->count_passed_on_pairs(layer, pairs);
    }
    const std::lock_guard lock(mutex_);
    sums_.pairs += pairs;
    sums_.passed_on_pairs += pairs;
    sums_.layers[layer].pairs += pairs;
}

void statistics::set_proxies(std::vector<proxy_facts> proxies) {
    const std::lock_guard lock(mutex_);
    sums_.proxies = std::move(proxies);
}

void statistics::count_short_mask() {
    const std::lock_guard lock(mutex_);
    sums_.short_masks++;
}

void statistics::count_unsent_masks(size_t n) {
    if (n == 0) {
        return;
    }
    if (whole_ != nullptr) {
        whole_->count_unsent_masks(n);
    }
    const std::lock_guard lock(mutex_);
    sums_.unsent_masks += static_cast<int64_t>(n);
}

void statistics::add_scratch(int64_t bytes) {
    if (whole_ != nullptr) {
        whole_->add_scratch(bytes);
    }
    const std::lock_guard lock(mutex_);
    sums_.scratch_bytes += bytes;
    sums_.scratch_peak = std::max(sums_.scratch_peak, sums_.scratch_bytes);
}

void statistics::reset() {
    const std::lock_guard lock(mutex_);
    all_counts fresh;
    fresh.proxies = std::move(sums_.proxies);
    fresh.scratch_bytes = fresh.scratch_peak = sums_.scratch_bytes;
    sums_ = std::move(fresh);
    for (auto & count : declined_) {
        count.store(0, std::memory_order_relaxed);
    }
    for (auto & count : declined_products_) {
        count.store(0, std::memory_order_relaxed);
    }
    for (auto & count : declined_norms_) {
        count.store(0, std::memory_order_relaxed);
    }
}

bool statistics::idle() const {
    const auto none = [](const auto & declined) {
        return std::all_of(declined.begin(), declined.end(),
                           [](const auto & count) { return count.load(std::memory_order_relaxed) == 0; });
    };
    const std::lock_guard lock(mutex_);
    return sums_.ubatches + sums_.cut_graphs + sums_.whole_graphs == 0 && sums_.layers.empty() &&
           sums_.fallbacks.empty() && sums_.passed_on.empty() && sums_.refusal.empty() && sums_.products.empty() &&
           sums_.norms.nodes + sums_.embeddings.rows == 0 && none(declined_) && none(declined_products_) &&
           none(declined_norms_);
}

all_counts statistics::read() const {
    all_counts copy;
    {
        const std::lock_guard lock(mutex_);
        copy = sums_;
    }
    if (whole_ != nullptr) {
        all_counts process = whole_->read();
        copy.proxies = std::move(process.proxies);
        copy.declined = process.declined;
        copy.declined_products = process.declined_products;
        copy.declined_norms = process.declined_norms;
        return copy;
    }
    for (size_t reason = 0; reason < declined_.size(); ++reason) {
        copy.declined[reason] = declined_[reason].load(std::memory_order_relaxed);
    }
    for (size_t reason = 0; reason < declined_norms_.size(); ++reason) {
        copy.declined_norms[reason] = declined_norms_[reason].load(std::memory_order_relaxed);
    }
    for (size_t reason = 0; reason < declined_products_.size(); ++reason) {
        copy.declined_products[reason] = declined_products_[reason].load(std::memory_order_relaxed);
    }
    return copy;
}

statistics & process_statistics() {
    static statistics & instance = *new statistics;  // never destroyed: read while the process exits, in any order
    return instance;
}

}  // namespace tmx
