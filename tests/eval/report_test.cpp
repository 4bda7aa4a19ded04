// From records to verdicts: pairing, vacuous examples, floors, controls, pages.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "eval/report/cell_map.h"
#include "eval/report/eval_report.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

eval_arm named_arm(const std::string & name, arm_role role, bool planned) {
    eval_arm a;
    a.name = name;
    a.role = role;
    a.label = name;
    if (planned) {
        a.applied.name = name;
        a.applied.layers = {{layer_kind::triangle, {}, -1, {}, {}}};
        a.applied.model.n_layer = 1;
        a.computed.plan_json = write_plan(a.applied);
    }
    return a;
}

struct kit {
    std::string folder = ::testing::TempDir() + "tmx_report_" + std::to_string(getpid());
    eval_settings settings;
    std::unique_ptr<record_store> records;
    std::vector<std::string> keys;

    kit() {
        std::filesystem::remove_all(folder);
        std::filesystem::create_directories(folder);
        records = std::make_unique<record_store>(folder + "/records.jsonl");
        settings.folder = folder;
        settings.model_sha256 = std::string(64, 'a');
        settings.arms = {named_arm("dense", arm_role::reference, false), named_arm("plan", arm_role::candidate, true),
                         named_arm("noise", arm_role::noise, false)};
    }
    ~kit() {
        records.reset();
        std::filesystem::remove_all(folder);
    }

    void add(const std::string & arm, const std::string & task, int64_t id, double score, double kept = 0.5,
             const std::string & hash = "h", const std::map<std::string, std::string> & meta = {}) {
        prediction p;
        p.suite = "ruler";
        p.task = task;
        p.id = std::to_string(id);
        p.length = 4096;
        p.arm = arm;
        p.from = "native";
        p.ids_hash = hash;
        p.n_prompt = 4000;
        p.tail_tokens = 50;
        p.outputs = {"<right>"};
        p.score.value = score;
        p.meta = meta;
        p.answer.text = arm + " said";
        p.answer.tokens = {1, 2, 3, 4};
        p.answer.wall_seconds = 2.5;
        p.answer.kept_share = arm == "plan" ? kept : 1;
        p.answer.prefill_seconds = arm == "plan" ? 1 : 2;
        p.answer.n_gold = 1;
        p.answer.gold_nll = 1 - score;
        const std::string key = arm + task + p.id;
        records->append(key, to_json(p));
        keys.push_back(key);
    }

    eval_report report() { return make_report(settings, {}, {}, {}, {}, *records, keys); }
};

TEST(eval_report, equal_arms_pass_with_an_interval_of_no_width) {
    kit k;
    for (int64_t i = 0; i < 20; ++i) {
        for (const char * arm : {"dense", "plan", "noise"}) {
            k.add(arm, "vt", i, i % 2 == 0 ? 1 : 0);
        }
    }
    const eval_report r = k.report();
    for (const scored_arm & scored : r.arms) {
        ASSERT_EQ(scored.suites.size(), 1U);
        const suite_result & s = scored.suites.front();
        EXPECT_EQ(s.n, 20);
        EXPECT_EQ(s.difference.low, 0);
        EXPECT_EQ(s.difference.high, 0);
        EXPECT_EQ(s.shown, verdict::pass);
        EXPECT_EQ(s.reference, 50);
        EXPECT_NEAR(s.nothing_seen_bound, 0.139, 0.001);
    }
    EXPECT_EQ(r.arms[0].suites.front().ttft_reference, 2);
    EXPECT_EQ(r.arms[0].suites.front().ttft_other, 1);
    EXPECT_TRUE(discordant_answers(r.pairs[0], 10).empty());
}

TEST(eval_report, damage_fails) {
    kit k;
    for (int64_t i = 0; i < 40; ++i) {
        k.add("dense", "vt", i, 1);
        k.add("plan", "vt", i, i < 30 ? 0 : 1);
    }
    const eval_report r = k.report();
    const task_result & t = r.arms[0].tasks.front();
    EXPECT_EQ(t.b, 30);
    EXPECT_EQ(t.c, 0);
    EXPECT_NEAR(t.difference.mean, -75, 1e-9);
    EXPECT_LT(t.p, 1e-6);
    EXPECT_EQ(t.shown, verdict::fail);
    EXPECT_NEAR(t.gold_nll_other, 0.75, 1e-12);
    EXPECT_EQ(r.arms[0].suites.front().shown, verdict::fail);
    EXPECT_EQ(discordant_answers(r.pairs[0], 10).size(), 10U);
    EXPECT_TRUE(r.arms[1].tasks.empty()) << "noise has no records";
}

TEST(eval_report, vacuous_examples_are_left_out_of_planned_arms_alone) {
    kit k;
    for (int64_t i = 0; i < 10; ++i) {
        k.add("dense", "vt", i, 1);
        k.add("noise", "vt", i, 1);
        k.add("plan", "vt", i, 1, i < 4 ? 1 : 0.5);
    }
    const eval_report r = k.report();
    EXPECT_EQ(r.arms[0].tasks.front().n, 6);
    EXPECT_EQ(r.arms[0].tasks.front().n_vacuous, 4);
    EXPECT_EQ(r.arms[1].tasks.front().n, 10) << "an arm without a plan computes everything";
}

TEST(eval_report, floors_are_marked_and_averaged_without) {
    kit k;
    for (int64_t i = 0; i < 20; ++i) {
        for (const char * arm : {"dense", "plan"}) {
            k.add(arm, "cwe", i, 0);
            k.add(arm, "vt", i, i % 2 == 0 ? 1 : 0);
        }
    }
    const suite_result s = k.report().arms[0].suites.front();
    EXPECT_EQ(s.reference, 25);
    EXPECT_EQ(s.reference_informative, 50);
    EXPECT_TRUE(k.report().arms[0].tasks.front().uninformative);
}

TEST(eval_report, nothing_to_lose_is_no_pass) {
    kit k;
    for (int64_t i = 0; i < 40; ++i) {
        for (const char * arm : {"dense", "plan"}) {
            k.add(arm, "cwe", i, 0);
        }
    }
    const eval_report r = k.report();
    EXPECT_EQ(r.arms[0].tasks.front().shown, verdict::inconclusive);
    EXPECT_EQ(r.arms[0].suites.front().shown, verdict::inconclusive);
}

TEST(eval_report, other_tokens_are_refused) {
    kit k;
    k.add("dense", "vt", 0, 1, 0.5, "h1");
    k.add("plan", "vt", 0, 1, 0.5, "h2");
    try {
        static_cast<void>(k.report());
        FAIL() << "two prompts were compared as one";
    } catch (const failure & error) {
        EXPECT_NE(std::string(error.what()).find("different tokens"), std::string::npos) << error.what();
    }
}

TEST(eval_report, a_reader_of_the_file_gets_the_same_report) {
    kit k;
    for (int64_t i = 0; i < 12; ++i) {
        k.add("dense", "vt", i, i % 3 == 0 ? 1 : 0);
        k.add("plan", "vt", i, i % 4 == 0 ? 1 : 0);
    }
    const std::string before = report_html(k.report());
    k.records.reset();
    k.records = std::make_unique<record_store>(k.folder + "/records.jsonl");
    EXPECT_EQ(report_html(k.report()), before);
    EXPECT_LT(before.size(), 1'000'000U);
    EXPECT_NE(before.find("&lt;right&gt;"), std::string::npos) << "texts are escaped";
    EXPECT_EQ(before.find("<right>"), std::string::npos);
}

const stratum_result & stratum_of(const eval_report & r, const std::string & task, const std::string & by,
                                  const std::string & value) {
    const auto found = std::find_if(r.strata.begin(), r.strata.end(), [&](const stratum_result & s) {
        return s.task == task && s.by == by && s.value == value && s.arm == "plan";
    });
    if (found == r.strata.end()) {
        throw std::runtime_error("there is no " + by + " " + value);
    }
    return *found;
}

TEST(eval_report, the_area_under_the_scores_is_the_trapezoidal_rules) {
    kit k;
    // Dense: 1, 1/2, 0 at 2, 3 and 6 operations; the plan: 1/2, 1/2, 0.
    for (int64_t i = 0; i < 12; ++i) {
        const std::string op = i % 3 == 0 ? "2" : i % 3 == 1 ? "3" : "6";
        const double half = i % 2 == 0 ? 1 : 0;
        k.add("dense", "lite", i, op == "2" ? 1 : op == "3" ? half : 0, 1, "h", {{"op", op}});
        k.add("plan", "lite", i, op == "6" ? 0 : half, 0.5, "h", {{"op", op}});
    }
    const eval_report r = k.report();
    EXPECT_NEAR(stratum_of(r, "lite", "op", "3").reference, 50, 1e-9);
    EXPECT_EQ(stratum_of(r, "lite", "op", "3").n, 4);
    const stratum_result & area = stratum_of(r, "lite", "op", "");
    EXPECT_NEAR(area.reference, 100 * (1 + 0.5) / 2 * 1 + 100 * (0.5 + 0) / 2 * 3, 1e-9);
    EXPECT_NEAR(area.other, 100 * (0.5 + 0.5) / 2 * 1 + 100 * (0.5 + 0) / 2 * 3, 1e-9);
    EXPECT_NEAR(area.difference.mean, area.other - area.reference, 1e-9);
    EXPECT_LT(area.difference.low, area.difference.mean);
    EXPECT_EQ(area.n, 12);
}

TEST(eval_report, a_group_is_the_mean_of_its_tasks) {
    kit k;
    for (int64_t i = 0; i < 10; ++i) {
        for (const char * arm : {"dense", "plan"}) {
            k.add(arm, "qasper", i, 1, 0.5, "h", {{"group", "single-doc"}, {"bucket", i < 3 ? "0-4k" : "8k+"}});
        }
    }
    for (int64_t i = 0; i < 2; ++i) {
        k.add("dense", "multifieldqa_en", i, 1, 0.5, "h", {{"group", "single-doc"}, {"bucket", "8k+"}});
        k.add("plan", "multifieldqa_en", i, 0, 0.5, "h", {{"group", "single-doc"}, {"bucket", "8k+"}});
    }
    const eval_report r = k.report();
    const stratum_result & group = stratum_of(r, "", "group", "single-doc");
    EXPECT_EQ(group.n, 12);
    EXPECT_NEAR(group.other, 50, 1e-9) << "each task weighs the same, however many examples it has";
    EXPECT_NEAR(group.difference.mean, -50, 1e-9);
    EXPECT_EQ(stratum_of(r, "qasper", "bucket", "0-4k").n, 3);
    bool there = false;
    for (const auto & row : result_rows(r)) {
        there = there || (row["kind"] == "stratum" && row["by"] == "group" && row["score"] == 50);
    }
    EXPECT_TRUE(there);
    EXPECT_NE(report_html(r).find("group single-doc"), std::string::npos);
}

TEST(eval_report, says_how_much_of_the_time_was_prefill) {
    kit k;
    for (int64_t i = 0; i < 3; ++i) {
        k.add("dense", "vt", i, 1);
        k.add("plan", "vt", i, 1);
    }
    const eval_report r = k.report();
    ASSERT_EQ(r.throughput.size(), 1U);
    EXPECT_EQ(r.throughput[0].n, 6);
    EXPECT_EQ(r.throughput[0].n_arms, 2);
    EXPECT_EQ(r.throughput[0].answer_tokens, 4);
    EXPECT_NEAR(r.throughput[0].prefill_share(), (3 * 2 + 3 * 1) / (6 * 2.5), 1e-12);
    const auto row = result_rows(r).back();
    EXPECT_EQ(row["kind"], "throughput");
    EXPECT_NEAR(row["prefill_share"].get<double>(), 0.6, 1e-12);
    EXPECT_NE(report_html(r).find("60%"), std::string::npos);
}

TEST(eval_report, a_page_of_fidelity_alone_has_no_empty_sections) {
    const std::string page = report_html(kit().report());
    for (const char * heading : {"<h2>Verdicts", "<h2>Tasks", "<h2>Answers"}) {
        EXPECT_EQ(page.find(heading), std::string::npos) << heading;
    }
    kit k;
    k.add("dense", "vt", 0, 1);
    k.add("plan", "vt", 0, 1);
    EXPECT_NE(report_html(k.report()).find("<h2>Verdicts"), std::string::npos);
}

TEST(cell_maps, are_as_wide_as_their_title) {
    const cell_map map{std::string(120, 'x'), {"row"}, {{"arm", {"16K"}, {{0.0}}}}, 0, 1, 0};
    const std::string svg = draw_cell_map(map);
    EXPECT_GE(std::stod(svg.substr(svg.find("width=\"") + 7)), 8 + 7 * 120);
}

TEST(eval_report, what_is_missing_is_counted_not_scored) {
    kit k;
    k.add("dense", "vt", 0, 1);
    k.add("dense", "vt", 1, 1);
    k.add("plan", "vt", 0, 1);
    k.keys.push_back("planvt1");
    const eval_report r = k.report();
    EXPECT_EQ(r.arms[0].tasks.front().n, 1);
    EXPECT_EQ(r.n_missing, 1);
    EXPECT_NE(report_html(r).find("not finished"), std::string::npos);
}

}  // namespace
}  // namespace tmx
