// What settings ask of layers: the plan held against a model, what falls back, and what strict mode forbids.
#include "backend/layer_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "backend/statistics_json.h"

namespace tmx::test {
namespace {

std::vector<std::string> lines;
const std::string k_applied =
    "plan test: applied to a model of 4 layers, 8/2 heads of 64; whether it is the one that the plan was made for, "
    "only "
    "its file tells";

void keep_line(log_level level, const char * line) {
    const char * const prefixes[] = {"", "warning: ", "error: "};
    lines.push_back(std::string(prefixes[static_cast<size_t>(level)]) + line);
}

class layer_rules_test : public testing::Test {
  protected:
    void SetUp() override { lines.clear(); }

    // Layers 2 and 3 of four triangle.
    void apply(bool strict = false) {
        backend_config config;
        config.chosen.emplace();
        config.chosen->name = "test";
        config.chosen->layers.resize(4);
        config.chosen->layers[2].kind = config.chosen->layers[3].kind = layer_kind::triangle;
        config.strict = strict;
        current_.apply(config);
    }

    void begin() {
        rules_.begin();
        rules_.check_plan(
            [&] {
                ++n_asked_;
                return model_;
            },
            "k");
    }

    settings current_;
    statistics counters_;
    layer_rules rules_{current_, counters_, keep_line};
    model_shape model_{.architecture = "", .n_layer = 4, .n_head = 8, .n_head_kv = 2, .d_head = 64};
    int n_asked_ = 0;
    const ubatch_runs masked_ = all_masked(1, 10, mask_reason::visible_count);
};

TEST_F(layer_rules_test, the_model_is_looked_at_once_a_plan) {
    begin();
    EXPECT_EQ(n_asked_, 0) << "no plan";
    EXPECT_FALSE(rules_.decide_rule(2, head_range::all(8)).planned());
    apply();
    begin();
    begin();
    EXPECT_EQ(n_asked_, 1);
    EXPECT_EQ(lines, (std::vector<std::string>{
                         "plan test: triangle layers 2-3 (sink 8, window 512)",
                         "plan test: dense layers 0-1; last 128, tail chunk; precision exact, kernel k", k_applied}));
    EXPECT_TRUE(rules_.decide_rule(2, head_range::all(8)).planned());
    EXPECT_FALSE(rules_.decide_rule(1, head_range::all(8)).planned());
    EXPECT_FALSE(rules_.decide_rule(-1, head_range::all(8)).planned());
    EXPECT_FALSE(rules_.decide_rule(4, head_range::all(8)).planned());
}

TEST_F(layer_rules_test, each_rule_of_dynamic_layers_has_a_line) {
    selection_rule often = usual_rule(0);
    often.values[0] = 3;
    backend_config config;
    config.chosen.emplace();
    config.chosen->name = "test";
    config.chosen->layers.resize(4);
    config.chosen->dynamic = {{usual_rule(0), 0}, {often, 0}, {often, 0}};
    for (const size_t layer : {0, 1, 2}) {
        config.chosen->layers[layer].dynamic = static_cast<int32_t>(layer);
    }
    current_.apply(config);
    begin();
    const std::string last = "plan test: dense layers 3; last 128, tail chunk; precision exact, kernel k";
    EXPECT_EQ(lines, (std::vector<std::string>{"plan test: dynamic layers 0 (stride:stride=10)",
                                               "plan test: dynamic layers 1-2 (stride:stride=3)", last, k_applied}))
        << "no band where no layer has one";
    const std::string json = statistics_json(counters_.read(), current_, {"", ""});
    EXPECT_NE(json.find("\"rule\": \"stride:stride=3\""), std::string::npos) << json;

    lines.clear();
    config.chosen->layers[2].kind = layer_kind::triangle;
    current_.apply(config);
    begin();
    EXPECT_EQ(lines, (std::vector<std::string>{"plan test: triangle layers 2 (sink 8, window 512)",
                                               "plan test: dynamic layers 0 (stride:stride=10)",
                                               "plan test: dynamic layers 1-2 (stride:stride=3)", last, k_applied}));
}

TEST_F(layer_rules_test, rules_of_heads_and_lengths_have_lines_of_their_own) {
    backend_config config;
    config.chosen.emplace();
    config.chosen->name = "test";
    config.chosen->layers.resize(4);
    config.chosen->dynamic = {{usual_rule(0), 4096}, {usual_rule(0), 0}};
    config.chosen->layers[0].head_dynamic = {0, 0, 1, -1, -1, -1, -1, 1};
    config.chosen->layers[1].dynamic = 0;
    config.chosen->layers[2].kind = config.chosen->layers[3].kind = layer_kind::triangle;
    config.chosen->layers[3].own.n_window = 64;
    current_.apply(config);
    begin();
    EXPECT_EQ(lines, (std::vector<std::string>{
                         "plan test: triangle layers 2 (sink 8, window 512)",
                         "plan test: triangle layers 3 (sink 8, window 64)",
                         "plan test: dynamic layers 0 (stride:stride=10, heads 0-1, from 4096 tokens on)",
                         "plan test: dynamic layers 0 (stride:stride=10, heads 2,7)",
                         "plan test: dynamic layers 1 (stride:stride=10, from 4096 tokens on)",
                         "plan test: dense layers none; last 128, tail chunk; precision exact, kernel k", k_applied}));
    EXPECT_EQ(rules_.decide_rule(2, head_range::all(8)).shape.n_window, 512);
    EXPECT_EQ(rules_.decide_rule(3, head_range::all(8)).shape.n_window, 64);
    EXPECT_TRUE(rules_.decide_rule(0, head_range::all(8)).planned());
    EXPECT_FALSE(rules_.decide_rule(0, head_range::all(16)).planned()) << "the heads of another layer";
    EXPECT_EQ(counters_.read().fallbacks["head_count"], 1);
    const layer_rule share = rules_.decide_rule(0, {.first = 2, .n = 2, .total = 8});
    EXPECT_EQ(share.heads->rule_of_head.size(), 2u);
    const head_range unknown{.first = 0, .n = 2, .total = -1};
    EXPECT_FALSE(rules_.decide_rule(0, unknown).planned()) << "which of the heads?";
    EXPECT_EQ(counters_.read().fallbacks["split_heads"], 1);
    EXPECT_TRUE(rules_.decide_rule(1, unknown).planned()) << "they all do the same";
}

TEST_F(layer_rules_test, layers_that_are_not_triangle_may_skip_keys) {
    backend_config config;
    config.chosen.emplace();
    config.chosen->name = "test";
    config.chosen->layers.resize(4);
    config.chosen->skip = 0.5;
    config.chosen->dynamic = {{usual_rule(0), 0}};
    config.chosen->layers[1].dynamic = 0;
    config.chosen->layers[2].kind = layer_kind::triangle;
    current_.apply(config);
    begin();
    EXPECT_EQ(lines[2], "plan test: layers that are not triangle skip keys (factor 0.5)");
    EXPECT_EQ(rules_.decide_rule(0, head_range::all(8)).skip_factor, 0.5f);
    EXPECT_EQ(rules_.decide_rule(1, head_range::all(8)).skip_factor, 0.5f);
    EXPECT_EQ(rules_.decide_rule(2, head_range::all(8)).skip_factor, 0);
    EXPECT_EQ(rules_.decide_rule(-1, head_range::all(8)).skip_factor, 0) << "a layer that is not known";
    EXPECT_FALSE(rules_.decide_rule(0, head_range::all(8)).planned());
    config.chosen->model.n_layer = 5;
    current_.apply(config);
    begin();
    EXPECT_EQ(rules_.decide_rule(0, head_range::all(8)).skip_factor, 0) << "the plan is another model's";
}

TEST_F(layer_rules_test, a_fallback_is_counted_each_time_and_said_once) {
    apply();
    begin();
    lines.clear();
    for (const int32_t layer : {1, 2, 3}) {
        const std::optional<planned_layer> planned = rules_.plan_layer(layer, 8, masked_, 2);
        ASSERT_TRUE(planned);
        EXPECT_EQ(planned->segments.size(), 1u);
    }
    EXPECT_EQ(counters_.read().fallbacks["visible_count"], 2);
    EXPECT_EQ(lines, std::vector<std::string>{"warning: triangle layer 2 is computed exactly, not by plan test: "
                                              "visible_count (docs/backend.md). From now on this is only counted"});
    EXPECT_TRUE(rules_.note_fallbacks(2, rules_.decide_rule(2, head_range::all(8)), masked_, 11))
        << "no stretch is that long";
    EXPECT_EQ(counters_.read().fallbacks["visible_count"], 2);
}

TEST_F(layer_rules_test, strict_mode_fails_what_falls_back) {
    apply(true);
    begin();
    EXPECT_TRUE(rules_.plan_layer(1, 8, masked_, 2));
    EXPECT_FALSE(rules_.plan_layer(2, 8, masked_, 2));
    EXPECT_FALSE(rules_.note_fallback(-1, {}, "no_layer")) << "it may be one of the triangle layers";
    EXPECT_TRUE(rules_.note_fallback(-1, {}, "no_mask")) << "none of a prompt's";
    EXPECT_EQ(counters_.read().strict_failures["visible_count"], 1);
    EXPECT_EQ(counters_.read().strict_failures["no_layer"], 1);
}

TEST_F(layer_rules_test, rows_whose_outputs_another_host_knows_fall_back) {
    apply();
    begin();
    ubatch_runs part;
    part.runs.push_back({.stream = 0,
                         .row_begin = 0,
                         .row_end = 10,
                         .rank_begin = 0,
                         .key_begin = 0,
                         .cells = {},
                         .ordered = true,
                         .output_rows = {}});
    EXPECT_TRUE(rules_.note_fallbacks(2, rules_.decide_rule(2, head_range::all(8)), part, 2));
    EXPECT_TRUE(counters_.read().fallbacks.empty());
    part.outputs_hidden = true;
    EXPECT_TRUE(rules_.note_fallbacks(2, rules_.decide_rule(2, head_range::all(8)), part, 2));
    EXPECT_TRUE(rules_.note_fallbacks(2, rules_.decide_rule(2, head_range::all(8)), part, 11))
        << "too few rows to speak of";
    EXPECT_TRUE(rules_.note_fallbacks(1, rules_.decide_rule(1, head_range::all(8)), part, 2)) << "no layer of the plan";
    EXPECT_EQ(counters_.read().fallbacks.at("output_rows"), 1);
    apply(true);
    begin();
    EXPECT_FALSE(rules_.note_fallbacks(2, rules_.decide_rule(2, head_range::all(8)), part, 2));
}

// An RPC server computes for one client after the other.
TEST_F(layer_rules_test, a_model_of_another_shape_has_the_plan_checked_anew) {
    apply();
    rules_.expect_model(model_);
    begin();
    rules_.expect_model(model_);
    begin();
    EXPECT_EQ(n_asked_, 1);
    EXPECT_TRUE(rules_.decide_rule(2, head_range::all(8)).planned());
    model_.n_layer = 3;
    rules_.expect_model(model_);
    begin();
    EXPECT_EQ(n_asked_, 2);
    EXPECT_FALSE(rules_.decide_rule(2, head_range::all(8)).planned()) << "a plan for a layer that is not there";
}

TEST_F(layer_rules_test, a_plan_of_another_model_is_refused) {
    model_.n_layer = 5;
    backend_config config;
    config.chosen.emplace();
    config.chosen->name = "other";
    config.chosen->model.n_layer = 4;
    config.chosen->layers.resize(4);
    config.chosen->layers[2].kind = layer_kind::triangle;
    current_.apply(config);
    begin();
    EXPECT_FALSE(rules_.decide_rule(2, head_range::all(8)).planned());
    EXPECT_NE(counters_.read().refusal, "");
    EXPECT_EQ(counters_.read().fallbacks["plan_refused"], 1);
}

}  // namespace
}  // namespace tmx::test
