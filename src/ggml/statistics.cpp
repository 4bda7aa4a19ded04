#include "ggml/statistics.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "ggml/abi.h"
#include "trianglemix/attention.h"

namespace tmx {
namespace {

using nlohmann::ordered_json;

constexpr size_t k_most_ways = 32;  // a host may change plans without end

constexpr const char * k_kind_names[k_node_kinds] = {"triangle", "dense", "masked", "dynamic"};

ordered_json nodes_json(const std::array<int64_t, k_node_kinds> & nodes) {
    ordered_json out;
    for (size_t kind = 0; kind < nodes.size(); ++kind) {
        out[k_kind_names[kind]] = nodes[kind];
    }
    return out;
}

ordered_json pairs_json(const pair_count & pairs) {
    return {{"kept", pairs.kept}, {"skipped", pairs.skipped}, {"masked", pairs.masked}};
}

}  // namespace

std::string kernel_in_use(const settings_snapshot & now) {
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        if ((now.kernel.empty() || now.kernel == kernel.name) && (kernel.fast || now.arithmetic == precision::exact)) {
            return kernel.name;
        }
    }
    return "none";
}

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
                          const selected_pairs & selected, double seconds) {
    node_record record{.kind = node_kind::dense,
                       .layer = layer,
                       .planned_layer = rule.planned(),
                       .unordered_rows = unordered_rows(found, rule),
                       .found = &found,
                       .pairs = {},
                       .seconds = seconds,
                       .way = rule.way};
    const bool planned =
        std::any_of(found.runs.begin(), found.runs.end(), [](const causal_run & run) { return run.ordered; });
    if (rule.planned() && planned) {
        record.kind = rule.selection() != nullptr ? node_kind::dynamic : node_kind::triangle;
    } else if (!found.masked.empty()) {
        record.kind = node_kind::masked;
    }
    record.pairs = count_pairs(found, segments, shape_of_node(args), selected);
    return record;
}

void statistics::classified(const ubatch_record & record) {
    if (whole_ != nullptr) {
        whole_->classified(record);
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

void statistics::computed(const node_record & record) {
    if (whole_ != nullptr) {
        whole_->computed(record);
    }
    const auto kind = static_cast<size_t>(record.kind);
    const std::lock_guard lock(mutex_);
    sums_.nodes[kind]++;
    for (const causal_run & run : record.found->runs) {
        const bool planned = record.planned_layer && run.ordered;
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
    sums_.seconds += record.seconds;
    if (record.way != nullptr && sums_.ways.size() < k_most_ways) {
        sums_.ways.insert(*record.way);
    }
    layer_sum & layer = sums_.layers[record.layer];
    layer.nodes[kind]++;
    layer.pairs += record.pairs;
    layer.seconds += record.seconds;
}

void statistics::fell_back(const char * reason) {
    if (whole_ != nullptr) {
        whole_->fell_back(reason);
    }
    const std::lock_guard lock(mutex_);
    sums_.fallbacks[reason]++;
}

void statistics::plan_refused(const std::string & difference) {
    if (whole_ != nullptr) {
        whole_->plan_refused(difference);
    }
    const std::lock_guard lock(mutex_);
    sums_.refusal = difference;
}

void statistics::strict_failure(const std::string & reason) {
    if (whole_ != nullptr) {
        whole_->strict_failure(reason);
    }
    const std::lock_guard lock(mutex_);
    sums_.strict_failures[reason]++;
}

void statistics::proxied_graph(bool cut) {
    if (whole_ != nullptr) {
        whole_->proxied_graph(cut);
    }
    const std::lock_guard lock(mutex_);
    (cut ? sums_.cut_graphs : sums_.whole_graphs)++;
}

bool statistics::passed_on(const std::string & reason) {
    const bool first = whole_ == nullptr || whole_->passed_on(reason);
    const std::lock_guard lock(mutex_);
    return sums_.passed_on[reason]++ == 0 && first;
}

void statistics::passed_on_pairs(int32_t layer, const pair_count & pairs) {
    if (whole_ != nullptr) {
        whole_->passed_on_pairs(layer, pairs);
    }
    const std::lock_guard lock(mutex_);
    sums_.pairs += pairs;
    sums_.layers[layer].pairs += pairs;
}

void statistics::set_proxies(std::vector<proxy_facts> proxies) {
    const std::lock_guard lock(mutex_);
    proxies_ = std::move(proxies);
}

void statistics::scratch_changed(int64_t bytes) {
    if (whole_ != nullptr) {
        whole_->scratch_changed(bytes);
    }
    const std::lock_guard lock(mutex_);
    scratch_bytes_ += bytes;
    scratch_peak_ = std::max(scratch_peak_, scratch_bytes_);
}

void statistics::reset() {
    const std::lock_guard lock(mutex_);
    sums_ = {};
    scratch_peak_ = scratch_bytes_;
    for (auto & count : declined_) {
        count.store(0, std::memory_order_relaxed);
    }
}

std::vector<proxy_facts> statistics::proxies() const {
    if (whole_ != nullptr) {
        return whole_->proxies();
    }
    const std::lock_guard lock(mutex_);
    return proxies_;
}

ordered_json statistics::declined_json() const {
    ordered_json declined = ordered_json::object();
    for (size_t reason = 0; reason < declined_.size(); ++reason) {
        if (const int64_t count = declined_[reason].load(std::memory_order_relaxed); count > 0) {
            declined[to_string(static_cast<decline_reason>(reason))] = count;
        }
    }
    return declined;
}

bool statistics::idle() const {
    const std::lock_guard lock(mutex_);
    return sums_.ubatches + sums_.cut_graphs + sums_.whole_graphs == 0 && sums_.layers.empty() &&
           sums_.fallbacks.empty() && sums_.passed_on.empty() && sums_.refusal.empty() &&
           std::all_of(declined_.begin(), declined_.end(),
                       [](const auto & count) { return count.load(std::memory_order_relaxed) == 0; });
}

std::string statistics::json(const settings & current) const {
    const settings_snapshot now = current.snapshot();
    ordered_json out;
    out["version"] = TMX_VERSION;
    out["ggml_version"] = ggml_version();
    out["ggml_commit"] = ggml_commit();
    out["enabled"] = current.enabled();
    out["min_rows"] = current.min_rows();
    out["strict"] = now.strict;
    out["kernel"] = kernel_in_use(now);
    out["precision"] = name_of(now.arithmetic);
    out["plan"] = now.chosen ? ordered_json(now.chosen->name) : ordered_json(nullptr);
    out["tail"] = now.chosen ? ordered_json(name_of(now.chosen->tail)) : ordered_json(nullptr);

    const std::vector<proxy_facts> offered = proxies();
    const std::lock_guard lock(mutex_);
    out["computed_with"] = sums_.ways;
    out["plan_refused"] = sums_.refusal.empty() ? ordered_json(nullptr) : ordered_json(sums_.refusal);
    out["nodes"] = nodes_json(sums_.nodes);
    out["fallbacks"] = ordered_json::object();
    for (const auto & [reason, count] : sums_.fallbacks) {
        out["fallbacks"][reason] = count;
    }
    out["strict_failures"] = ordered_json(sums_.strict_failures);
    out["ubatches"] = {{"all", sums_.ubatches},
                       {"several_runs", sums_.mixed_ubatches},
                       {"with_masked_rows", sums_.masked_ubatches},
                       {"reordered", sums_.reordered_ubatches}};
    out["runs"] = {{"planned", sums_.planned_runs}, {"dense", sums_.dense_runs}, {"masked", sums_.masked_runs}};
    int64_t masked_rows_sum = 0;
    ordered_json reasons = ordered_json::object();
    for (size_t reason = 0; reason < sums_.masked_rows.size(); ++reason) {
        if (sums_.masked_rows[reason] > 0) {
            reasons[to_string(static_cast<mask_reason>(reason))] = sums_.masked_rows[reason];
            masked_rows_sum += sums_.masked_rows[reason];
        }
    }
    out["rows"] = {{"planned", sums_.planned_rows},
                   {"dense", sums_.dense_rows},
                   {"unordered", sums_.unordered_rows},
                   {"masked", masked_rows_sum}};
    out["masked_rows"] = std::move(reasons);
    out["pairs"] = pairs_json(sums_.pairs);
    out["flops"] = sums_.pairs.flops;
    out["bytes"] = sums_.pairs.bytes;
    out["seconds"] = sums_.seconds;
    out["classify_seconds"] = sums_.classify_seconds;
    out["declined"] = whole_ != nullptr ? whole_->declined_json() : declined_json();
    out["gpu"] = {{"devices", ordered_json::array()},
                  {"graphs", {{"cut", sums_.cut_graphs}, {"whole", sums_.whole_graphs}}},
                  {"passed_on", ordered_json::object()},
                  {"scratch_bytes", {{"current", scratch_bytes_}, {"peak", scratch_peak_}}}};
    for (const proxy_facts & proxy : offered) {
        out["gpu"]["devices"].push_back({{"name", proxy.name}, {"wraps", proxy.wraps}, {"kernel", proxy.kernel}});
    }
    for (const auto & [reason, count] : sums_.passed_on) {
        out["gpu"]["passed_on"][reason] = count;
    }
    out["layers"] = ordered_json::array();
    for (const auto & [index, layer] : sums_.layers) {
        out["layers"].push_back({{"layer", index},
                                 {"nodes", nodes_json(layer.nodes)},
                                 {"pairs", pairs_json(layer.pairs)},
                                 {"seconds", layer.seconds}});
    }
    return out.dump(2, ' ', true, ordered_json::error_handler_t::replace);
}

std::string statistics::summary(const settings & current) const {
    const std::lock_guard lock(mutex_);
    std::string text;
    const auto line = [&](const char * format, auto... values) {
        char buffer[512];
        std::snprintf(buffer, sizeof(buffer), format, values...);
        text += "TriangleMix: ";
        text += buffer;
        text += '\n';
    };
    if (!sums_.passed_on.empty() || sums_.cut_graphs + sums_.whole_graphs > 0) {
        line("GPU: %lld graphs cut, %lld whole", static_cast<long long>(sums_.cut_graphs),
             static_cast<long long>(sums_.whole_graphs));
    }
    for (const auto & [reason, count] : sums_.passed_on) {
        line("left to the GPU's own backend (%s): %lld nodes", reason.c_str(), static_cast<long long>(count));
    }
    const int64_t n_nodes = std::accumulate(sums_.nodes.begin(), sums_.nodes.end(), int64_t{0});
    const bool hindered = !sums_.refusal.empty() || !sums_.fallbacks.empty();
    if (n_nodes == 0 && !hindered) {
        line(
            "computed nothing. Only prompts of at least %lld tokens are taken, and only with flash attention on "
            "(-fa on).",
            static_cast<long long>(current.min_rows()));
        return text;
    }
    for (const std::string & way : sums_.ways) {
        line("%s", way.c_str());
    }
    if (!sums_.refusal.empty()) {
        line("plan refused: %s", sums_.refusal.c_str());
    }
    for (const auto & [reason, count] : sums_.strict_failures) {
        line("TRIANGLEMIX_STRICT: %lld evaluations failed (%s)", static_cast<long long>(count), reason.c_str());
    }
    if (n_nodes == 0) {
        text += "TriangleMix: computed nothing\n";
    } else {
        const auto of_kind = [&](node_kind kind) {
            return static_cast<long long>(sums_.nodes[static_cast<size_t>(kind)]);
        };
        line("%lld attention nodes in %.3f s: %lld triangle, %lld dense, %lld masked", static_cast<long long>(n_nodes),
             sums_.seconds, of_kind(node_kind::triangle), of_kind(node_kind::dense), of_kind(node_kind::masked));
        if (of_kind(node_kind::dynamic) > 0) {
            line("%lld more of them dynamic", of_kind(node_kind::dynamic));
        }
        const double all = sums_.pairs.kept + sums_.pairs.skipped + sums_.pairs.masked;
        line("pairs kept %.4g, skipped %.4g (%.1f%% of all), through a mask %.4g", sums_.pairs.kept,
             sums_.pairs.skipped, all > 0 ? 100.0 * sums_.pairs.skipped / all : 0.0, sums_.pairs.masked);
        line("%lld ubatches, %lld with several runs, %lld with masked rows; classified in %.3f s",
             static_cast<long long>(sums_.ubatches), static_cast<long long>(sums_.mixed_ubatches),
             static_cast<long long>(sums_.masked_ubatches), sums_.classify_seconds);
    }
    for (const auto & [reason, count] : sums_.fallbacks) {
        line("fallback %s: %lld", reason.c_str(), static_cast<long long>(count));
    }
    return text;
}

statistics & process_statistics() {
    static statistics & instance = *new statistics;  // never destroyed: read while the process exits, in any order
    return instance;
}

}  // namespace tmx
