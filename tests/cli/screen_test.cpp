// What the program shows and how it reads its own parts: tables, wrapping, predicted time, presets by name, files,
// statistics.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/options.h"
#include "cli/output_file.h"
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

TEST(Statistics, SharesAndReasons) {
    const backend_statistics s = parse_statistics(
        R"({"kernel":"avx2","nodes":{"triangle":3,"dense":1,"masked":2},"fallbacks":{"head_count":4},
            "gpu":{"graphs":{"cut":1,"whole":7},"passed_on":{"keys":2}},"declined":{"rows":9},"plan_refused":null,
            "pairs":{"kept":25,"skipped":75,"masked":0},"seconds":0.5})");
    EXPECT_EQ(s.n_triangle, 3);
    EXPECT_EQ(s.n_dense, 3);
    EXPECT_DOUBLE_EQ(s.kept_share(), 0.25);
    EXPECT_EQ(s.fallback_text(), "4 head_count");
    EXPECT_EQ(s.passed_on.at("keys"), 2);
    EXPECT_EQ(s.n_whole_graphs, 7);
    EXPECT_EQ(s.declined, std::vector<std::string>{"rows"});
    EXPECT_EQ(s.plan_refused, "");
    EXPECT_THROW(parse_statistics("{}"), failure);
    EXPECT_THROW(parse_statistics("not json"), failure);
}

TEST(Notes, APlanFarBeyondWhatItWasMeasuredOn) {
    plan p;
    EXPECT_EQ(length_note(p, 1 << 20, "the prompt"), "") << "nothing is recorded";
    p.provenance = R"({"measured_up_to": 7600})";
    EXPECT_EQ(length_note(p, 15200, "the prompt"), "");
    const std::string note = length_note(p, 15201, "the context");
    EXPECT_NE(note.find("up to 7600 tokens, the context is 15201"), std::string::npos) << note;
}

TEST(Notes, PlansLeaveLayersWithWindowsOut) {
    model_facts facts;
    facts.architecture = "gemma3";
    facts.n_layer = 4;
    facts.windows = {512, 512, 0, 512};
    plan_options options;
    options.layers = "all";
    const chosen_plan some = choose_plan(options, facts, true);
    EXPECT_EQ(some.layers(), "1 of 4 layers triangle: 2");
    EXPECT_NE(some.note.find("layers 0-1,3 see the latest 512 tokens only"), std::string::npos) << some.note;
    options.layers = "0,3";
    EXPECT_FALSE(choose_plan(options, facts, true).triangle);
    options.layers = "2";
    EXPECT_EQ(choose_plan(options, facts, true).note, "");
}

}  // namespace
}  // namespace tmx
