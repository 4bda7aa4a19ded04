// What the planner makes of its measurements: whether a mix was computed as planned, the plan with its provenance, the
// report, rows. The measurements are made up.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "planner/lone_choices.h"
#include "planner/mix_applied.h"
#include "planner/mix_drawings.h"
#include "planner/mix_report.h"
#include "planner/mix_rows.h"
#include "planner/plan_of_result.h"

namespace tmx::test {
namespace {

using json = nlohmann::ordered_json;

// sink 1, window 2, last 1: of the 21 pairs of a prompt of 6 tokens a triangle layer drops key 1 of row 3, and keys 1
// and 2 of row 4.
const triangle_shape k_shape{1, 2, 1};
const model_shape k_model{"llama", 3, 2, 1, 64};
constexpr int64_t k_tokens = 6;

json layer_json(int32_t layer, int n_dynamic, double kept, double skipped, double masked = 0) {
    return {{"layer", layer},
            {"nodes", {{"triangle", 1 - n_dynamic}, {"dense", 0}, {"masked", 0}, {"dynamic", n_dynamic}}},
            {"pairs", {{"kept", kept}, {"skipped", skipped}, {"masked", masked}}},
            {"seconds", 0.5}};
}

backend_statistics statistics_of(std::vector<json> layers) {
    backend_statistics s;
    s.raw["layers"] = std::move(layers);
    return s;
}

class MixApplied : public ::testing::Test {
  protected:
    std::vector<menu_entry> menu = parse_menu("triangle,stride:stride=3,triangle+stride:stride=3", k_shape, false);

    std::string why(const backend_statistics & s, const layer_mix & mix) const {
        return why_not_applied(s, mix, menu, plan_of_mix(mix, menu, k_model, k_shape), k_tokens, 0);
    }
};

TEST_F(MixApplied, EveryLayerAsPlanned) {
    const backend_statistics s =
        statistics_of({layer_json(0, 0, 36, 6), layer_json(1, 1, 30, 12), layer_json(2, 1, 42, 0)});
    EXPECT_EQ(why(s, {{0}, {1}, {2}}), "");
    EXPECT_EQ(why(s, {{k_dense}, {k_dense}, {k_dense}}), "");
}

TEST_F(MixApplied, ALayerThatWasNotIsNamed) {
    const auto names = [&](const backend_statistics & s, const layer_mix & mix, const std::string & what) {
        EXPECT_NE(why(s, mix).find(what), std::string::npos) << why(s, mix);
    };
    const json good = layer_json(0, 0, 36, 6);
    names(statistics_of({layer_json(0, 0, 37, 5)}), {{0}, {k_dense}, {k_dense}},
          "did not compute layer 0 as triangle on 6 tokens");
    names(statistics_of({good, layer_json(1, 0, 30, 12)}), {{0}, {1}, {k_dense}}, "layer 1 as stride:stride=3");
    names(statistics_of({good, layer_json(1, 1, 29, 12)}), {{0}, {1}, {k_dense}}, "layer 1");
    names(statistics_of({good, layer_json(1, 1, 30, 11, 1)}), {{0}, {1}, {k_dense}}, "layer 1");
    names(statistics_of({good}), {{0}, {k_dense}, {2}}, "layer 2 as triangle+stride:stride=3");
    backend_statistics fell_back = statistics_of({good});
    fell_back.fallbacks["cell_order"] = 1;
    names(fell_back, {{0}, {k_dense}, {k_dense}}, "cell_order");
    EXPECT_EQ(why(fell_back, {{k_dense}, {k_dense}, {k_dense}}), "") << "nothing was planned";
}

TEST(LayerCosts, ReadAndKept) {
    const backend_statistics s = statistics_of({layer_json(2, 1, 30, 12), layer_json(-1, 0, 1000, 0)});
    const std::vector<layer_cost> costs = layer_costs(s, 3);
    ASSERT_EQ(costs.size(), 3U);
    EXPECT_EQ(costs[0].kept, 0);
    EXPECT_EQ(costs[2].skipped, 12);
    EXPECT_EQ(costs[2].seconds, 0.5);
    const std::vector<layer_cost> again = costs_of_json(json::parse(costs_json(costs).dump()));
    EXPECT_EQ(again[2].kept, 30);
    EXPECT_NEAR(kept_share(again), 30.0 / 42, 1e-15);
}

mix_effect effect_of(double kl, double seconds, double share, size_t n_layer) {
    mix_effect e;
    e.effect.prompt = "kv 100 #0";
    e.effect.n_tokens = 100;
    e.effect.distance.first_kl = kl;
    e.effect.distance.following_kl = kl / 2;
    e.effect.distance.n_positions = 3;
    e.effect.distance.n_same_top = 3;
    e.effect.seconds = seconds;
    e.effect.dense_seconds = 2;
    e.layers.assign(n_layer, {100 * share, 100 * (1 - share), seconds / static_cast<double>(n_layer)});
    return e;
}

// A model of n_layer layers, in which every entry saves 10 ms in every layer and does the same damage.
class MadeUp {
  public:
    MadeUp(int32_t n_layer, const std::string & menu, bool saves) {
        settings.base.model_path = "model.gguf";
        settings.base.how = choose_by::kl_budget;
        settings.base.value = 0.5;
        settings.base.prompts.lengths = {100};
        settings.menu = r.menu = parse_menu(menu, settings.base.shape, false);
        const auto n = static_cast<size_t>(n_layer);
        r.facts.n_layer = n_layer;
        r.facts.n_head = 2;
        r.facts.n_head_kv = 1;
        r.facts.d_head = 64;
        r.facts.architecture = "llama";
        r.choosing = {{100, 99, {0}}};
        r.held_out = {{100, 98, {1}}};
        r.measured_up_to = 98;
        r.dense.effects = {effect_of(0, 2, 1, n)};
        for (int32_t layer = 0; layer < n_layer; ++layer) {
            r.layers.push_back(layer);
        }
        measured_choice choice;
        choice.at_short = {saves, 0.03, 0.02, 0.025};
        choice.saved = saves ? 0.01 : -0.01;
        choice.kept_share = 0.25;
        r.choices.assign(n, std::vector<measured_choice>(settings.menu.size(), choice));
        r.floors.assign(n, 0.005);
        for (size_t entry = 0; entry < settings.menu.size(); ++entry) {
            r.everywhere.push_back(
                {mix_of(n_layer, r.layers, static_cast<int32_t>(entry)), false, 0.3, {effect_of(0.3, 1, 0.25, n)}});
        }
        r.mix.frontier = r.mix.found.path = make_frontier(table_of(r, settings.aim));
        r.mix.found.taken = r.mix.found.path.size() - 1;
        if (saves) {
            for (const bool held_out : {false, true}) {
                r.mix.measured.push_back(
                    {mix_of_combination(r, r.mix.taken()), held_out, 0.1, {effect_of(0.1, 1.2, 0.25, n)}});
            }
        }
        r.value = plan_of_result(settings, r);
    }

    planner_settings settings;
    planner_result r;
};

TEST(PlannersPlan, HoldsTheMixAndWhatItRestsOn) {
    const MadeUp made(3, "stride:stride=3,triangle", true);
    const plan & p = made.r.value;
    const parsed<plan> read = parse_plan(write_plan(p));
    ASSERT_TRUE(read.ok()) << read.error;
    EXPECT_EQ(read.value, p);
    EXPECT_EQ(p.tail, tail_policy::chunk);
    EXPECT_EQ(measured_length(p), 98);
    for (const layer_plan & layer : p.layers) {
        EXPECT_EQ(layer.dynamic, 0) << "of equal entries the first";
        EXPECT_EQ(layer.kind, layer_kind::dense);
    }
    const json from = json::parse(p.provenance);
    EXPECT_EQ(from.at("method"), "menu");
    EXPECT_EQ(from.at("candidates"), "0-2");
    EXPECT_EQ(from.at("menu").at(0).at("entry"), "stride:stride=3");
    EXPECT_EQ(from.at("menu").at(1).at("damage"), (json{0.02, 0.02, 0.02})) << "beyond the floor";
    EXPECT_EQ(from.at("menu").at(1).at("saved_ms"), (json{10, 10, 10}));
    EXPECT_EQ(from.at("predicted").at("damage"), 0.06);
    EXPECT_EQ(from.at("predicted").at("pairs"), 0.25);
    EXPECT_EQ(from.at("check").at(0).at("mean_first_kl"), 0.1);
    EXPECT_EQ(from.at("check").at(0).at("tokens"), 98);
}

TEST(PlannersPlan, FitsTheFormatForAnyModel) {
    const MadeUp largest_whole(100, "triangle,stride", true);
    EXPECT_TRUE(json::parse(largest_whole.r.value.provenance).at("menu").at(0).contains("damage"));
    EXPECT_TRUE(parse_plan(write_plan(largest_whole.r.value)).ok());
    const MadeUp large(1000, "triangle,stride", true);
    EXPECT_FALSE(json::parse(large.r.value.provenance).at("menu").at(0).contains("damage"));
    EXPECT_TRUE(parse_plan(write_plan(large.r.value)).ok());
}

TEST(PlannersReport, SaysWhatWasFound) {
    const MadeUp made(3, "triangle,stride:stride=3", true);
    const std::vector<std::string> lines = mix_summary(made.settings, made.r);
    EXPECT_EQ(lines[0], "3 of 3 layers are not dense: triangle 0-2");
    EXPECT_EQ(lines[1], "checked on 1 other prompts: mean first-token KL 0.1 at 98 tokens (budget 0.5)");
    EXPECT_EQ(lines[2],
              "attention pairs computed: 25.0% at 98 tokens; time to first token of the longest 1.2 s, dense 2 s");
    const std::string page = mix_report_html(made.settings, made.r, {});
    for (const char * text :
         {"triangle in every layer", "stride in every layer", "the plan, on prompts kept back", "1.67x"}) {
        EXPECT_NE(page.find(text), std::string::npos) << text;
    }
    EXPECT_EQ(mix_drawings(made.settings, made.r).size(), 3U);
    MadeUp other = made;
    other.r.left_out = {"stride:stride=9 is left out: no form for this device"};
    EXPECT_NE(mix_report_html(other.settings, other.r, {}).find("no form for this device"), std::string::npos);
    EXPECT_NE(mix_findings_jsonl(made.settings, made.r, {}).find("\"prefill_s_expected_at_longest\":1.97"),
              std::string::npos);
}

// Layer 1 of three has two triangle heads, of which one is given back.
start_outcome outcome_of_start() {
    plan heads;
    heads.model = {"llama", 3, 2, 1, 64};
    heads.layers.resize(3);
    heads.layers[1].kind = layer_kind::triangle;
    start_outcome o;
    o.whole = make_start("folder/heads.json", heads, heads.model, heads.shape);
    o.search.tried = {{{}, {0.4, 0.6}}, {{{1, 0}, {1, 1}}, {0, 0}}, {{{1, 0}}, {0.1, 0.15}}, {{{1, 1}}, {0.3, 0.5}}};
    o.search.given_back = {{1, 0}};
    o.search.after = {0.1, 0.15};
    return o;
}

TEST(PlannersReport, SaysWhatOfTheStartIsGivenBack) {
    MadeUp made(3, "stride:stride=3", true);
    made.r.start = outcome_of_start();
    const std::vector<std::string> lines = mix_summary(made.settings, made.r);
    EXPECT_EQ(lines[1],
              "heads.json alone: mean first-token KL 0.4 with its 2 triangle heads, 0.1 with the 1 that are left when "
              "those are given back that do most of the harm: heads 1:0");
    EXPECT_NE(mix_report_html(made.settings, made.r, {}).find("heads 1:0."), std::string::npos);
    const std::string findings = mix_findings_jsonl(made.settings, made.r, {});
    const json row = json::parse(findings.substr(0, findings.find('\n')));
    EXPECT_EQ(row.at("finding"), "start");
    EXPECT_EQ((json{row.at("heads_before"), row.at("heads_after")}), (json{2, 1}));
    EXPECT_EQ((json{row.at("first_kl_before"), row.at("first_kl_after")}), (json{0.4, 0.1}));
    EXPECT_EQ(row.at("given_back"), "1:0");
    EXPECT_EQ(row.at("measurements"), 4);
    EXPECT_NE(mix_scores_jsonl(made.r).find(R"({"type":"start","without":"1:1","first_kl":0.3,"harm":0.5})"),
              std::string::npos);
    const plan p = plan_of_result(made.settings, made.r);
    EXPECT_TRUE(parse_plan(write_plan(p)).ok());
    const json from = json::parse(p.provenance).at("start");
    EXPECT_EQ(
        from,
        (json{{"file", "heads.json"}, {"layers_sha256", outcome_of_start().whole.sha256}, {"given_back", "1:0"}}));
}

TEST(PlannersReport, SaysThatAStartIsWhole) {
    MadeUp made(3, "stride:stride=3", true);
    made.r.start = outcome_of_start();
    made.r.start->search.given_back.clear();
    made.r.start->search.after = made.r.start->search.before();
    EXPECT_EQ(mix_summary(made.settings, made.r)[1],
              "heads.json alone, with all of its 2 triangle heads: mean first-token KL 0.4");
    const json from = json::parse(plan_of_result(made.settings, made.r).provenance).at("start");
    EXPECT_FALSE(from.contains("given_back"));
    EXPECT_NE(mix_findings_jsonl(made.settings, made.r, {}).find("\"given_back\":\"none\""), std::string::npos);
    MadeUp none(3, "stride:stride=3", true);
    EXPECT_EQ(mix_findings_jsonl(none.settings, none.r, {}).find("\"finding\":\"start\""), std::string::npos);
}

TEST(PlannersReport, NothingThatSavesTimeIsAResultToo) {
    const MadeUp made(3, "triangle", false);
    const std::vector<std::string> lines = mix_summary(made.settings, made.r);
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(lines[0], "0 of 3 layers are not dense: dense");
    EXPECT_NE(lines[1].find("no combination keeps the first token's mean KL within 0.5 nats"), std::string::npos);
    EXPECT_FALSE(made.r.value.any_sparse());
    EXPECT_FALSE(json::parse(made.r.value.provenance).contains("check"));
    EXPECT_NE(mix_report_html(made.settings, made.r, {}).find("saves nothing"), std::string::npos);
    EXPECT_NE(mix_findings_jsonl(made.settings, made.r, {}).find("\"mix\":\"dense\""), std::string::npos);
}

}  // namespace
}  // namespace tmx::test
