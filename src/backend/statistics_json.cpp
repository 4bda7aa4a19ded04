#include "backend/statistics_json.h"

#include <nlohmann/json.hpp>

#include "trianglemix/layer_texts.h"

namespace tmx {
namespace {

using nlohmann::ordered_json;

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

ordered_json selections_json(const std::map<std::string, selection_counts> & selections) {
    ordered_json out = ordered_json::array();
    for (const auto & [rule, counts] : selections) {
        const bool timed = counts.timed_nodes == counts.nodes;
        out.push_back({{"rule", rule},
                       {"nodes", counts.nodes},
                       {"kept", counts.kept},
                       {"causal", counts.causal},
                       {"density", counts.causal > 0 ? counts.kept / counts.causal : 1},
                       {"seconds", timed ? ordered_json(counts.seconds) : ordered_json(nullptr)}});
    }
    return out;
}

ordered_json layer_json(int32_t index, const layer_counts & layer) {
    const selection_counts selected = layer.selected();
    const bool timed = selected.timed_nodes == selected.nodes;
    return {{"layer", index},
            {"nodes", nodes_json(layer.nodes)},
            {"pairs", pairs_json(layer.pairs)},
            {"seconds", layer.seconds},
            {"selection_seconds", timed ? ordered_json(selected.seconds) : ordered_json(nullptr)},
            {"selected", selections_json(layer.selections)}};
}

// By reason, those that were counted.
template <typename reasons, size_t n>
ordered_json declined_json(const std::array<int64_t, n> & counted) {
    ordered_json declined = ordered_json::object();
    for (size_t reason = 0; reason < counted.size(); ++reason) {
        if (counted[reason] > 0) {
            declined[to_string(static_cast<reasons>(reason))] = counted[reason];
        }
    }
    return declined;
}

ordered_json products_json(const all_counts & sums, const settings & current, const settings_snapshot & snapshot) {
    const product_rules & rules = current.products();
    ordered_json out;
    out["way"] = name_of(rules.take_any() ? current.asked_products() : product_way::off);
    out["kernel"] = rules.take_any() ? ordered_json(product_kernel(snapshot.kernel)) : ordered_json(nullptr);
    out["taken"] = ordered_json::object();
    for (int i = 0; i < k_weight_types; ++i) {
        const auto type = static_cast<weight_type>(i);
        if (rules.of(type).min_rows != k_no_products) {
            out["taken"][name_of(type)] = {{"min_rows", rules.of(type).min_rows},
                                           {"arithmetic", name_of(rules.of(type).arithmetic)}};
        }
    }
    out["computed"] = ordered_json::array();
    for (const auto & [kind, done] : sums.products) {
        out["computed"].push_back({{"weights", name_of(kind.weights)},
                                   {"arithmetic", name_of(kind.arithmetic)},
                                   {"nodes", done.nodes},
                                   {"flops", done.flops},
                                   {"seconds", done.seconds}});
    }
    out["declined"] = declined_json<product_decline>(sums.declined_products);
    return out;
}

ordered_json norms_json(const all_counts & sums, const settings & current) {
    const product_rules & rules = current.products();
    return {{"min_rows", rules.take_any() ? ordered_json(rules.least_rows()) : ordered_json(nullptr)},
            {"nodes", sums.norms.nodes},
            {"seconds", sums.norms.seconds},
            {"declined", declined_json<norm_decline>(sums.declined_norms)}};
}

}  // namespace

std::string statistics_json(const all_counts & sums, const settings & current, const ggml_build & running) {
    const settings_snapshot snapshot = current.snapshot();
    ordered_json out;
    out["version"] = TMX_VERSION;
    out["ggml_version"] = running.version;
    out["ggml_commit"] = running.commit;
    out["enabled"] = current.enabled();
    out["min_rows"] = current.min_rows();
    out["strict"] = snapshot.strict;
    out["kernel"] = kernel_in_use(snapshot);
    out["precision"] = name_of(snapshot.arithmetic);
    out["attention_precision"] = name_of(attention_precision(snapshot));
    out["plan"] = snapshot.chosen ? ordered_json(snapshot.chosen->name) : ordered_json(nullptr);
    out["tail"] = snapshot.chosen ? ordered_json(name_of(snapshot.chosen->tail)) : ordered_json(nullptr);
    out["dynamic"] = ordered_json::array();
    if (snapshot.chosen) {
        for (const selection_text & dynamic : selection_texts(*snapshot.chosen)) {
            out["dynamic"].push_back(
                {{"layers", dynamic.layers},
                 {"rule", dynamic.rule},
                 {"heads", dynamic.heads.empty() ? ordered_json(nullptr) : ordered_json(dynamic.heads)},
                 {"min_tokens", dynamic.min_tokens}});
        }
    }

    out["computed_with"] = sums.ways;
    out["plan_refused"] = sums.refusal.empty() ? ordered_json(nullptr) : ordered_json(sums.refusal);
    out["nodes"] = nodes_json(sums.nodes);
    out["fallbacks"] = ordered_json::object();
    for (const auto & [reason, count] : sums.fallbacks) {
        out["fallbacks"][reason] = count;
    }
    out["strict_failures"] = ordered_json(sums.strict_failures);
    out["ubatches"] = {{"all", sums.ubatches},
                       {"several_runs", sums.mixed_ubatches},
                       {"with_masked_rows", sums.masked_ubatches},
                       {"reordered", sums.reordered_ubatches}};
    out["runs"] = {{"planned", sums.planned_runs}, {"dense", sums.dense_runs}, {"masked", sums.masked_runs}};
    int64_t masked_rows_sum = 0;
    ordered_json reasons = ordered_json::object();
    for (size_t reason = 0; reason < sums.masked_rows.size(); ++reason) {
        if (sums.masked_rows[reason] > 0) {
            reasons[to_string(static_cast<mask_reason>(reason))] = sums.masked_rows[reason];
            masked_rows_sum += sums.masked_rows[reason];
        }
    }
    out["rows"] = {{"planned", sums.planned_rows},
                   {"dense", sums.dense_rows},
                   {"unordered", sums.unordered_rows},
                   {"masked", masked_rows_sum}};
    out["masked_rows"] = std::move(reasons);
    out["pairs"] = pairs_json(sums.pairs);
    for (size_t kind = 0; kind < sums.kind_pairs.size(); ++kind) {
        out["kind_pairs"][k_kind_names[kind]] = pairs_json(sums.kind_pairs[kind]);
    }
    out["kind_pairs"]["passed_on"] = pairs_json(sums.passed_on_pairs);
    out["selected"] = selections_json(sums.selections());
    out["flops"] = sums.pairs.flops;
    out["bytes"] = sums.pairs.bytes;
    out["seconds"] = sums.seconds;
    out["classify_seconds"] = sums.classify_seconds;
    out["declined"] = declined_json<decline_reason>(sums.declined);
    out["products"] = products_json(sums, current, snapshot);
    out["norms"] = norms_json(sums, current);
    out["embeddings"] = {{"rows", sums.embeddings.rows}, {"seconds", sums.embeddings.seconds}};
    out["gpu"] = {{"devices", ordered_json::array()},
                  {"graphs", {{"cut", sums.cut_graphs}, {"whole", sums.whole_graphs}}},
                  {"passed_on", ordered_json::object()},
                  {"feed_forward",
                   {{"blocks", sums.feed_forward.blocks},
                    {"flops", sums.feed_forward.flops},
                    {"passed_on", sums.feed_forward.passed_on}}},
                  {"scratch_bytes", {{"current", sums.scratch_bytes}, {"peak", sums.scratch_peak}}},
                  {"short_masks", sums.short_masks},
                  {"unsent_masks", sums.unsent_masks}};
    for (const proxy_facts & proxy : sums.proxies) {
        out["gpu"]["devices"].push_back({{"name", proxy.name}, {"wraps", proxy.wraps}, {"kernel", proxy.kernel}});
    }
    for (const auto & [reason, count] : sums.passed_on) {
        out["gpu"]["passed_on"][reason] = count;
    }
    out["layers"] = ordered_json::array();
    for (const auto & [index, layer] : sums.layers) {
        out["layers"].push_back(layer_json(index, layer));
    }
    return out.dump(2, ' ', true, ordered_json::error_handler_t::replace);
}

}  // namespace tmx
