// What the program shows and how it reads its own parts: tables, wrapping, predicted time, presets by name, files,
// statistics.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/bench_rows.h"
#include "cli/compare.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/published.h"
#include "cli/speedup.h"
#include "cli/stock_setting.h"
#include "cli/terminal.h"
#include "runtime/failure.h"
#include "runtime/statistics.h"

namespace tmx {
namespace {

TEST(Screen, WrapsByWordsAndIndentsWhatFollows) {
    EXPECT_EQ(wrap("one two three four five six", 24, 4), "one two three four\n    five six");
    EXPECT_EQ(wrap("a\nb", 40, 2), "a\n  b");
    EXPECT_EQ(wrap("", 40, 2), "");
    EXPECT_EQ(wrap("averyveryverylongwordthatdoesnotfitatall x", 24, 0), "averyveryverylongwordthatdoesnotfitatall\nx");
}

TEST(Screen, TableColumnsLineUpAndShrink) {
    text_table table({"", "stock", "ours"});
    table.add({"time", "43.1 s", "9 s"});
    EXPECT_EQ(table.print(80), "        stock   ours\ntime   43.1 s    9 s\n");
    EXPECT_EQ(table.print(18), "       stock  ours\ntime  43.1 s   9 s\n");
}

TEST(Screen, TimeLeftFollowsTheGrowingCost) {
    EXPECT_LT(predict_seconds({}, {}, 100), 0);
    // A steady cost: 1 s per 100 tokens.
    EXPECT_NEAR(predict_seconds({100, 200}, {1, 2}, 400), 2.0, 1e-9);
    // cost(x) = x: [0,1) takes 0.5, [1,2) takes 1.5; [2,4) takes 6.
    EXPECT_NEAR(predict_seconds({1, 2}, {0.5, 2.0}, 4), 6.0, 1e-9);
    // A machine that gets faster does not make the prediction negative.
    EXPECT_GE(predict_seconds({1, 2}, {5, 6}, 100), 0.0);
    EXPECT_EQ(predict_seconds({10}, {1}, 10), 0.0);
}

TEST(Screen, Amounts) {
    EXPECT_EQ(show_seconds(1.234), "1.23 s");
    EXPECT_EQ(show_seconds(43.12), "43.1 s");
    EXPECT_EQ(show_seconds(119.6), "2 min 0 s");
    EXPECT_EQ(show_count(1.75e9), "1.75 G");
}

TEST(Presets, AreRecognisedByTheModelsName) {
    EXPECT_TRUE(preset_names_model("smollm2-135m-instruct", "Smollm2 135M 8k Lc100K Mix1 Ep2"));
    EXPECT_TRUE(preset_names_model("llama-3.1-8b-instruct", "Meta Llama 3.1 8B Instruct"));
    EXPECT_FALSE(preset_names_model("llama-3.1-8b-instruct", "Llama 3 8B Instruct 262k"));
    EXPECT_FALSE(preset_names_model("llama-3-8b-instruct-262k", "Meta Llama 3 8B Instruct"));
    EXPECT_FALSE(preset_names_model("qwen3-8b", "Qwen2.5 7B Instruct"));
    EXPECT_FALSE(preset_names_model("qwen3-8b", ""));
}

TEST(Presets, ShapeAloneIsNotEnough) {
    model_facts facts;
    facts.name = "Some Other Model";
    facts.architecture = "llama";
    facts.n_layer = 30;
    facts.n_head = 9;
    facts.n_head_kv = 3;
    facts.d_head = 64;
    const chosen_plan other = choose_plan({}, facts, true);
    EXPECT_FALSE(other.triangle);
    EXPECT_NE(other.note.find("preset:NAME"), std::string::npos) << other.note;
    EXPECT_NE(other.note.find("smollm2-135m-instruct"), std::string::npos) << other.note;
    facts.name = "SmolLM2 135M Instruct";
    const chosen_plan own = choose_plan({}, facts, true);
    EXPECT_TRUE(own.triangle);
    EXPECT_EQ(own.source, "preset:smollm2-135m-instruct");
    EXPECT_EQ(own.value.tail, tail_policy::prompt);
    EXPECT_NE(choose_plan({}, facts, false).value.tail, tail_policy::prompt);
    facts.n_layer = 31;
    EXPECT_FALSE(choose_plan({}, facts, true).triangle);
}

TEST(Plans, OptionsOverrideThePlan) {
    model_facts facts;
    facts.architecture = "llama";
    facts.n_layer = 4;
    facts.n_head = 2;
    facts.n_head_kv = 1;
    facts.d_head = 64;
    plan_options options;
    options.layers = "1-2";
    options.window = 256;
    options.last = 0;
    options.precision = "fast";
    options.tail = "output";
    const chosen_plan chosen = choose_plan(options, facts, true);
    EXPECT_EQ(chosen.layers(), "2 of 4 layers triangle: 1-2");
    EXPECT_EQ(chosen.value.shape.n_sink, 8);
    EXPECT_EQ(chosen.value.shape.n_window, 256);
    EXPECT_EQ(chosen.value.shape.n_last, 0);
    EXPECT_EQ(chosen.value.tail, tail_policy::output);
    EXPECT_EQ(chosen.value.arithmetic, precision::fast);
    options.layers = "1-4";
    EXPECT_THROW(choose_plan(options, facts, true), failure);
}

TEST(OutputFiles, AreReplacedWholeAndLinksStay) {
    namespace fs = std::filesystem;
    const fs::path folder = fs::path(::testing::TempDir()) / "tmx_output_files";
    fs::remove_all(folder);
    fs::create_directory(folder);
    const std::string path = (folder / "file").string();
    const std::string link = (folder / "link").string();
    write_file(path, "first");
    fs::create_symlink(path, link);
    // Whoever has the old file open keeps it as it was.
    std::ifstream old(path);
    write_file(link, "second");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(old), {}), "first");
    EXPECT_EQ(read_file(path), "second");
    EXPECT_TRUE(fs::is_symlink(link));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 2) << "nothing else is left behind";
    write_file("/dev/null", "text");
    EXPECT_FALSE(fs::is_regular_file("/dev/null"));
    EXPECT_THROW(write_file((folder / "nowhere" / "file").string(), "text"), failure);
    check_writable((folder / "new").string());
    EXPECT_FALSE(fs::exists(folder / "new"));
    EXPECT_THROW(check_writable((folder / "nowhere" / "file").string()), failure);
}

TEST(OutputFiles, PublishedResultsAreOfCommittedSources) {
    EXPECT_EQ(why_not_published("docs/results/x.jsonl", "abc"), "");
    EXPECT_EQ(why_not_published("/tmp/x.jsonl", "abc-dirty"), "");
    EXPECT_EQ(why_not_published("x.jsonl", "abc-dirty"), "");
    EXPECT_NE(why_not_published("docs/results/x.jsonl", "abc-dirty").find("abc-dirty"), std::string::npos);
    EXPECT_NE(why_not_published("/a/docs/../docs/results/x.jsonl", "abc-dirty"), "");
}

TEST(Stock, SettingsByName) {
    EXPECT_EQ(parse_stock_setting("on-512"), (stock_setting{true, 512}));
    EXPECT_EQ(parse_stock_setting("off-2048"), (stock_setting{false, 2048}));
    for (const char * text : {"", "best", "on", "on-", "on-0", "on-5x", "maybe-512", "off--1", "on-99999999"}) {
        EXPECT_FALSE(parse_stock_setting(text)) << text;
    }
    EXPECT_EQ(show_setting({false, 512}), "fa off, ub 512");
}

TEST(Stock, EverySettingThatCanBeTheFastestIsACandidate) {
    // Ubatches of the whole prompt or more are one setting.
    EXPECT_EQ(stock_candidates(512, 2048), (std::vector<stock_setting>{{true, 512}, {false, 512}}));
    EXPECT_EQ(stock_candidates(513, 2048).size(), 4U);
    EXPECT_EQ(stock_candidates(7500, 2048).size(), 4U);
    EXPECT_EQ(stock_candidates(7500, 4096).size(), 6U);
    EXPECT_EQ(stock_candidates(100, 64).size(), 4U);
}

// Seconds until `token` tokens are done, where a token costs a + b times its position.
double until(double a, double b, double token) {
    return a * token + b * token * token / 2;
}

TEST(Stock, ACandidateIsGivenUpOnlyWhereItCannotWin) {
    for (const double a : {0.0, 1.0, 3.0}) {
        for (const double b : {0.0, 0.01, 0.1}) {
            std::vector<double> end_token;
            std::vector<double> seconds;
            for (int chunk = 1; chunk <= 8; ++chunk) {
                end_token.push_back(100 * chunk);
                seconds.push_back(until(a, b, 100 * chunk));
                const double bound = least_seconds(end_token, seconds, 800);
                EXPECT_LE(bound, until(a, b, 800) * (1 + 1e-12)) << a << " " << b << " " << chunk;
                EXPECT_GE(bound, chunk == 1 ? 0 : seconds.back());
            }
            EXPECT_NEAR(least_seconds(end_token, seconds, 800), until(a, b, 800), 1e-9);
        }
    }
    // Twice as slow shows at a third of the prompt, where the cost is steady.
    EXPECT_GT(least_seconds({100, 200, 300}, {2, 4, 6}, 800), 15.9);
    EXPECT_EQ(least_seconds({100}, {1}, 800), 0);
}

TEST(Stock, TheSearchFindsTheFastestAndKeepsWhatItTried) {
    const std::vector<stock_setting> candidates = stock_candidates(7500, 2048);
    std::vector<double> bests;
    const std::vector<double> times = {20, 15, 30, 14};
    const stock_search search = find_fastest(candidates, [&](const stock_setting & setting, double best) {
        bests.push_back(best);
        const double seconds = times[bests.size() - 1];
        return seconds <= best ? stock_try{setting, seconds, true, ""} : stock_try{setting, best / 2, false, ""};
    });
    EXPECT_EQ(search.winner(), candidates[3]);
    EXPECT_EQ(bests[1], 20);
    EXPECT_EQ(bests[3], 15);
    EXPECT_EQ(search.json()[0]["ttft_s"], 20);
    EXPECT_EQ(search.json()[2]["given_up_after_s"], 7.5);
    EXPECT_NE(search.text().find("fa on, ub 2048: given up after 7.50 s"), std::string::npos) << search.text();
    EXPECT_THROW(find_fastest(candidates,
                              [](const stock_setting & setting, double) {
                                  return stock_try{setting, 0, false, "no room"};
                              }),
                 failure);
}

TEST(Ratios, SayHowFarTheyVary) {
    const speedup several = speedup_over({10, 12}, {5, 4});
    EXPECT_DOUBLE_EQ(several.median, 11 / 4.5);
    EXPECT_EQ(several.spread_text(), "2.00..3.00");
    EXPECT_EQ(speedup_over({10}, {5}).spread_text(), "(one run)");
    EXPECT_GE(repetitions_for(1), 2);
    EXPECT_GE(repetitions_for(60), 2);
    EXPECT_EQ(repetitions_for(1000), 1);
}

bench_row row_for(int64_t n_tokens, const std::string & mode, const bench_row & identity, const std::string & date) {
    const bench_cell stock{"stock", "fa on, ub 512", "", {10, 12}, {}, 1, {}};
    const bench_cell cell{mode, mode == "stock" ? "fa on, ub 512" : "fa on, ub 2048", "", {5, 4}, {}, 0.5, {}};
    return make_row({{"date", date}, {"plan", "p"}, {"identity", identity}}, n_tokens, cell, &stock);
}

TEST(BenchRows, AreUsedAgainWhereNothingThatCanChangeATimeDiffers) {
    const bench_row here = {{"model_sha256", "a"}, {"n_threads", 2}};
    const bench_row other = {{"model_sha256", "a"}, {"n_threads", 1}};
    const std::vector<std::string> modes = {"stock", "exact"};
    std::vector<bench_row> file = {row_for(96, "stock", here, "1"), row_for(96, "exact", here, "1"),
                                   row_for(160, "stock", here, "1"), row_for(160, "exact", other, "1"),
                                   bench_row{{"note", "no row of ours"}}};
    ASSERT_TRUE(find_rows(file, here, 96, modes, 2));
    EXPECT_EQ(find_rows(file, here, 96, modes, 2)->at(1).at("mode"), "exact");
    EXPECT_FALSE(find_rows(file, here, 96, modes, 3)) << "more repetitions are wanted than there are";
    EXPECT_FALSE(find_rows(file, here, 96, {"stock", "plan"}, 2));
    EXPECT_FALSE(find_rows(file, here, 160, modes, 2)) << "other threads";
    EXPECT_FALSE(find_rows(file, {}, 96, modes, 2));
    // Half of a later run does not make a whole.
    file.push_back(row_for(96, "stock", here, "2"));
    EXPECT_FALSE(find_rows(file, here, 96, modes, 2));
    file.push_back(row_for(96, "exact", here, "2"));
    EXPECT_EQ(find_rows(file, here, 96, modes, 2)->at(0).at("date"), "2");
}

TEST(BenchRows, TableFitsEightyColumnsAndNamesStocksSetting) {
    const std::string text = table_of({row_for(131072, "stock", {}, "1"), row_for(131072, "plan-fast", {}, "1")}, 80);
    EXPECT_NE(text.find("stock, fa on, ub 512"), std::string::npos) << text;
    EXPECT_NE(text.find("2.44x 2.00..3.00"), std::string::npos) << text;
    EXPECT_LE(text.find('\n'), 80U) << text;
}

TEST(Statistics, SharesAndReasons) {
    const backend_statistics s = parse_statistics(
        R"({"kernel":"avx2","nodes":{"triangle":3,"dense":1,"masked":2},"fallbacks":{"head_count":4},
            "gpu":{"graphs":{"cut":1,"whole":7},"passed_on":{"keys":2}},"declined":{"rows":9},"plan_refused":null,
            "pairs":{"kept":25,"skipped":75,"masked":100},"seconds":0.5})");
    EXPECT_EQ(s.n_triangle, 3);
    EXPECT_EQ(s.n_dense, 3);
    EXPECT_DOUBLE_EQ(s.kept_share(), 0.625) << "layers that the plan does not reach count, too";
    EXPECT_EQ(s.fallback_text(), "4 head_count");
    EXPECT_EQ(s.passed_on.at("keys"), 2);
    EXPECT_EQ(s.n_whole_graphs, 7);
    EXPECT_EQ(s.declined, std::vector<std::string>{"rows"});
    EXPECT_EQ(s.plan_refused, "");
    EXPECT_THROW(parse_statistics("{}"), failure);
    EXPECT_THROW(parse_statistics("not json"), failure);
}

}  // namespace
}  // namespace tmx
