// What is counted of a context and of the process, and what is said of it.
#include "backend/statistics.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "backend/log.h"
#include "backend/statistics_json.h"
#include "backend/statistics_summary.h"

namespace tmx::test {
namespace {

TEST(statistics_test, products_are_counted_by_type_of_weights) {
    statistics process;
    statistics context(&process);
    const product_kind kind{weight_type::q8_0, product_arithmetic::host};
    context.count_product(kind, {.nodes = 1, .flops = 4e9, .seconds = 0.5});
    context.count_product(kind, {.nodes = 1, .flops = 2e9, .seconds = 0.5});
    process.count_declined_product(product_decline::rows);
    EXPECT_FALSE(process.idle());
    for (const all_counts & counts : {process.read(), context.read()}) {
        EXPECT_EQ(counts.products.at(kind).nodes, 2);
        EXPECT_EQ(counts.products.at(kind).flops, 6e9);
        EXPECT_EQ(counts.declined_products[static_cast<size_t>(product_decline::rows)], 1);
    }
    settings current;
    EXPECT_NE(statistics_summary(process.read(), current)
                  .find("2 matrix products with q8_0 weights in the host's arithmetic in 1.000 s"),
              std::string::npos);
    backend_config config;
    config.products = product_way::host;
    config.products_min_rows = 5;
    current.apply(config);
    const std::string json = statistics_json(process.read(), current, {"0.0.0", "0"});
    EXPECT_NE(json.find("\"way\": \"host\""), std::string::npos) << json;
    EXPECT_NE(json.find("\"rows\": 1"), std::string::npos) << json;
    process.reset();
    EXPECT_TRUE(process.read().products.empty());
}

TEST(statistics_test, norms_are_counted_and_said) {
    statistics process;
    statistics context(&process);
    context.count_norm({.nodes = 2, .seconds = 0.25});
    context.count_norm({.nodes = 1, .seconds = 0.5});
    process.count_declined_norm(norm_decline::layout);
    for (const all_counts & counts : {process.read(), context.read()}) {
        EXPECT_EQ(counts.norms.nodes, 3);
        EXPECT_EQ(counts.norms.seconds, 0.75);
        EXPECT_EQ(counts.declined_norms[static_cast<size_t>(norm_decline::layout)], 1);
    }
    const settings current;
    EXPECT_NE(statistics_summary(process.read(), current).find("3 nodes of norms in 0.750 s"), std::string::npos);
    EXPECT_NE(statistics_json(process.read(), current, {"0.0.0", "0"}).find("\"layout\": 1"), std::string::npos);
    process.reset();
    EXPECT_EQ(process.read().norms.nodes, 0);
    EXPECT_EQ(process.read().declined_norms[static_cast<size_t>(norm_decline::layout)], 0);
}

TEST(statistics_test, a_context_counts_for_the_process_too) {
    statistics process;
    statistics context(&process);
    process.set_proxies({{"TriangleMix0", "CUDA0", "cuda.sm80"}});
    process.count_declined(decline_reason::rows);
    context.count_fallback("cell_order");
    context.add_scratch(100);
    context.add_scratch(-40);
    EXPECT_TRUE(context.count_passed_on("rows"));
    EXPECT_FALSE(context.count_passed_on("rows"));
    for (const statistics * each : {&process, &context}) {
        const all_counts read = each->read();
        EXPECT_EQ(read.fallbacks.at("cell_order"), 1);
        EXPECT_EQ(read.passed_on.at("rows"), 2);
        EXPECT_EQ(read.scratch_bytes, 60);
        EXPECT_EQ(read.scratch_peak, 100);
        EXPECT_EQ(read.declined[static_cast<size_t>(decline_reason::rows)], 1) << "the process's, seen by a context";
        ASSERT_EQ(read.proxies.size(), 1u);
        EXPECT_EQ(read.proxies[0].wraps, "CUDA0");
    }
    context.reset();
    EXPECT_TRUE(context.idle());
    EXPECT_FALSE(process.idle());
    EXPECT_EQ(context.read().scratch_peak, 60) << "what is held stays";
    process.reset();
    EXPECT_EQ(process.read().proxies.size(), 1u);
}

// A host that asked for nodes ran a model, even if none was for us.
TEST(statistics_test, what_was_only_declined_is_not_idle) {
    statistics attention;
    attention.count_declined(decline_reason::rows);
    statistics products;
    products.count_declined_product(product_decline::weights);
    statistics norms;
    norms.count_declined_norm(norm_decline::rows);
    for (statistics * each : {&attention, &products, &norms}) {
        EXPECT_FALSE(each->idle());
        each->reset();
        EXPECT_TRUE(each->idle());
    }
}

TEST(statistics_test, json_and_words) {
    settings current;
    statistics counters;
    EXPECT_NE(statistics_summary(counters.read(), current).find("computed nothing. Only prompts of at least 64"),
              std::string::npos);
    counters.count_fallback("head_count");
    const std::string json = statistics_json(counters.read(), current, {"9.8.7", "abc"});
    EXPECT_NE(json.find("\"ggml_version\": \"9.8.7\""), std::string::npos) << json;
    EXPECT_NE(json.find("\"head_count\": 1"), std::string::npos) << json;
    EXPECT_NE(statistics_summary(counters.read(), current).find("TriangleMix: fallback head_count: 1\n"),
              std::string::npos);
}

TEST(statistics_test, a_node_is_dynamic_if_a_row_is_selected) {
    layer_heads heads;
    heads.id = 1;
    heads.rules = {{.selection = usual_rule(0), .min_tokens = 250}};
    const layer_rule rule{
        .heads = &heads, .shape = {}, .tail = tail_policy::chunk, .prompt_length = -1, .way = nullptr};
    const auto kind_of = [&](int64_t n_rows, int64_t n_planned) {
        ubatch_runs found;
        found.runs.push_back({.stream = 0,
                              .row_begin = 0,
                              .row_end = n_rows,
                              .rank_begin = 0,
                              .key_begin = 0,
                              .cells = {},
                              .output_rows = {}});
        attention_args args;
        args.n_head = args.n_head_kv = 1;
        args.n_kv = n_rows;
        const std::vector<attention_segment> segments = make_segments(found, rule);
        const std::vector<uint8_t> marks = selected_marks(found, segments, rule);
        const node_record record = describe_node(args, 0, rule, found, segments, marks, 0);
        EXPECT_EQ(record.kind == node_kind::dynamic, !marks.empty());
        EXPECT_EQ(record.pairs.kept < static_cast<double>(n_rows * (n_rows + 1) / 2), !marks.empty() || heads.banded);
        statistics counters;
        counters.count_node(record);
        EXPECT_EQ(counters.read().planned_runs, n_planned);
        return record.kind;
    };
    EXPECT_EQ(kind_of(300, 1), node_kind::dynamic);
    EXPECT_EQ(kind_of(249, 0), node_kind::dense) << "fewer keys than the rule is for";
    heads.rules[0].min_tokens = 0;
    EXPECT_EQ(kind_of(100, 1), node_kind::dense) << "every row is one of the last 128";
    heads.rules[0].min_tokens = 1000;
    heads.banded = true;
    EXPECT_EQ(kind_of(900, 1), node_kind::triangle) << "fewer keys than the rule is for";
}

TEST(statistics_test, selection_is_counted_by_layer_and_rule) {
    statistics process;
    statistics context(&process);
    const auto record = [](const char * rule, double kept, double seconds, int64_t timed) {
        const selection_counts counts{
            .nodes = 1, .timed_nodes = timed, .kept = kept, .causal = 100, .seconds = seconds};
        selected_record made;
        made.pairs = {.kept = kept, .skipped = 100 - kept, .masked = 0, .flops = kept, .bytes = 0};
        made.rules = {{rule, counts}};
        return made;
    };
    context.count_selected(3, record("a:x=1", 20, 0.5, 1));
    context.count_selected(3, record("a:x=1", 40, 0.25, 1));
    context.count_selected(3, record("b", 10, 0, 0));
    context.count_selected(4, record("b", 30, 0, 0));
    for (const statistics * each : {&process, &context}) {
        const all_counts read = each->read();
        EXPECT_EQ(read.pairs.kept, 100);
        EXPECT_EQ(read.pairs.skipped, 300);
        EXPECT_EQ(read.layers.at(3).pairs.kept, 70);
        EXPECT_EQ(read.layers.at(3).selections.at("a:x=1").seconds, 0.75);
        EXPECT_EQ(read.selections().at("b").kept, 40);
    }
    const settings current;
    const auto json = nlohmann::json::parse(statistics_json(context.read(), current, {"", ""}));
    EXPECT_EQ(json["layers"][0]["selected"][0]["density"], 0.3);
    EXPECT_EQ(json["layers"][0]["selected"][0]["seconds"], 0.75);
    EXPECT_TRUE(json["layers"][0]["selected"][1]["seconds"].is_null()) << "not known";
    EXPECT_TRUE(json["layers"][0]["selection_seconds"].is_null());
    EXPECT_EQ(json["selected"].size(), 2u);
    EXPECT_EQ(json["selected"][1]["nodes"], 2);
    context.count_product({weight_type::q8_0, product_arithmetic::host}, {});
    for (int i = 0; i < 100; ++i) {
        context.count_selected(5, record(std::to_string(i).c_str(), 1, 0, 1));
    }
    EXPECT_EQ(context.read().layers.at(5).selections.size(), k_most_selections)
        << "a host may change plans without end";
    EXPECT_EQ(context.read().layers.at(5).pairs.kept, 100);
}

TEST(statistics_test, pairs_are_counted_by_what_computed_them) {
    statistics process;
    statistics context(&process);
    const ubatch_runs found = all_masked(1, 10, mask_reason::visible_count);
    node_record record = describe_node({.n_head = 1, .n_head_kv = 1, .n_q = 10, .n_kv = 10}, 0, {}, found, {}, {}, 0);
    record.pairs = {.kept = 1, .skipped = 2, .masked = 4, .flops = 0, .bytes = 0};
    for (const node_kind kind : {node_kind::triangle, node_kind::dense, node_kind::dynamic, node_kind::dynamic}) {
        record.kind = kind;
        context.count_node(record);
    }
    context.count_selected(0, {.pairs = {.kept = 10, .skipped = 20, .masked = 0, .flops = 0, .bytes = 0}, .rules = {}});
    context.count_passed_on_pairs(1, {.kept = 100, .skipped = 0, .masked = 0, .flops = 0, .bytes = 0});
    const settings current;
    for (const statistics * each : {&process, &context}) {
        const auto json = nlohmann::json::parse(statistics_json(each->read(), current, {"", ""}));
        EXPECT_EQ(json["kind_pairs"]["triangle"], nlohmann::json({{"kept", 1}, {"skipped", 2}, {"masked", 4}}));
        EXPECT_EQ(json["kind_pairs"]["dynamic"], nlohmann::json({{"kept", 12}, {"skipped", 24}, {"masked", 8}}));
        EXPECT_EQ(json["kind_pairs"]["masked"]["kept"], 0);
        EXPECT_EQ(json["kind_pairs"]["passed_on"]["kept"], 100);
        for (const char * what : {"kept", "skipped", "masked"}) {
            double sum = 0;
            for (const auto & [kind, pairs] : json["kind_pairs"].items()) {
                sum += pairs[what].get<double>();
            }
            EXPECT_EQ(sum, json["pairs"][what]) << what;
        }
    }
}

TEST(statistics_test, the_summary_says_what_was_selected) {
    statistics counters;
    const settings current;
    layer_heads heads;
    const ubatch_runs found = all_masked(1, 10, mask_reason::visible_count);
    counters.count_node(describe_node({.n_head = 1, .n_head_kv = 1, .n_q = 10, .n_kv = 10}, 0, {}, found, {}, {}, 0));
    const selection_counts timed{.nodes = 2, .timed_nodes = 2, .kept = 25, .causal = 100, .seconds = 0.5};
    counters.count_selected(0, {{}, {{"a:x=1", timed}}});
    const std::string text = statistics_summary(counters.read(), current);
    EXPECT_NE(text.find("selected by a:x=1: 2 nodes, 25.0% of their pairs kept, selected in 0.500 s\n"),
              std::string::npos)
        << text;
}

TEST(log_test, lines_of_any_length) {
    static std::string kept;
    const std::string text(5000, 'x');
    say([](log_level, const char * line) { kept = line; }, log_level::info, "%d %s", 7, text.c_str());
    EXPECT_EQ(kept, "7 " + text);
}

}  // namespace
}  // namespace tmx::test
