// What the profiler reads and writes: records, data files, hashes, made text, the report's drawings.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "profile/hash.h"
#include "profile/prompt_list.h"
#include "profile/record_store.h"
#include "profile/report.h"
#include "profile/section_sums.h"
#include "profile/svg.h"
#include "profile/text_source.h"
#include "runtime/failure.h"

namespace tmx::test {
namespace {

std::string scratch(const std::string & name) {
    std::string path = ::testing::TempDir() + "tmx_files_" + name;
    std::filesystem::remove(path);
    return path;
}

void write(const std::string & path, const std::string & text) {
    std::ofstream(path, std::ios::binary) << text;
}

TEST(Hash, VectorsOfTheStandard) {
    sha256 empty;
    EXPECT_EQ(empty.hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256 abc;
    abc.add("abc", 3);
    EXPECT_EQ(abc.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    // Across blocks, in odd pieces.
    const std::string million(1000000, 'a');
    sha256 pieces;
    for (size_t at = 0; at < million.size(); at += 777) {
        pieces.add(million.data() + at, std::min<size_t>(777, million.size() - at));
    }
    EXPECT_EQ(pieces.hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    const std::string path = scratch("hash");
    write(path, "abc");
    EXPECT_EQ(sha256_of_file(path), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_THROW(static_cast<void>(sha256_of_file("/nowhere")), failure);
}

TEST(Records, AreFoundAgainAndAHalfLineIsDropped) {
    const std::string path = scratch("records.jsonl");
    {
        record_store store(path);
        store.append("a|1", {{"value", 0.1}});
        store.append("b", {{"value", 1.0 / 3}});
        EXPECT_EQ(store.n_found(), 0U);
    }
    std::ofstream(path, std::ios::app) << R"({"key": "half", "val)";
    record_store store(path);
    EXPECT_EQ(store.n_found(), 2U);
    ASSERT_NE(store.find("b"), nullptr);
    EXPECT_EQ(store.find("b")->at("value").get<double>(), 1.0 / 3);  // every bit
    EXPECT_EQ(store.find("half"), nullptr);
    store.append("c", {{"value", 2}});
    EXPECT_EQ(record_store(path).n_found(), 3U);
}

TEST(Records, ForeignFilesAreRefused) {
    const std::string path = scratch("foreign");
    write(path, "{\"stage\": 1}\n");
    EXPECT_THROW(record_store store(path), failure);
    EXPECT_THROW(record_store store("/nowhere/x"), failure);
}

std::string data_error(const std::string & text) {
    const std::string path = scratch("data.jsonl");
    write(path, text);
    try {
        static_cast<void>(read_data_file(path));
    } catch (const failure & error) {
        return error.what();
    }
    return "accepted";
}

TEST(Data, EveryForm) {
    const std::string path = scratch("data.jsonl");
    write(path, R"({"prompt": "Hello", "target": "World"}
{"prompt": "raw", "chat_template": false, "target": 17}

{"ids": [1, 2, 3]}
)");
    const std::vector<data_prompt> data = read_data_file(path);
    ASSERT_EQ(data.size(), 3U);
    EXPECT_EQ(data[0].text, "Hello");
    EXPECT_EQ(data[0].target_text, "World");
    EXPECT_FALSE(data[1].chat_template);
    EXPECT_EQ(data[1].target, 17);
    EXPECT_EQ(data[2].line, 4);
    EXPECT_EQ(data[2].ids, (std::vector<token_id>{1, 2, 3}));
}

TEST(Data, MistakesAreNamedWithTheirLine) {
    EXPECT_NE(data_error("{\"prompt\": \"a\"}\n{\"promt\": \"b\"}\n").find("line 2: unknown key \"promt\""),
              std::string::npos);
    EXPECT_NE(data_error("{}\n").find("either"), std::string::npos);
    EXPECT_NE(data_error("{\"prompt\": \"a\", \"ids\": [1]}\n").find("either"), std::string::npos);
    EXPECT_NE(data_error("{\"prompt\": 7}\n").find("line 1"), std::string::npos);
    EXPECT_NE(data_error("nonsense\n").find("line 1"), std::string::npos);
    EXPECT_NE(data_error("[1, 2]\n"), "accepted");
    EXPECT_NE(data_error("\n\n").find("no prompts"), std::string::npos);
}

TEST(PromptList, HeldOutPromptsAreOthers) {
    prompt_settings settings;
    settings.kinds = {prompt_kind::kv, prompt_kind::doc};
    settings.lengths = {100, 200};
    settings.samples = 3;
    settings.check_samples = 1;
    settings.data.resize(7);
    int n_held_out = 0;
    int n_data_held_out = 0;
    const std::vector<prompt_spec> specs = list_prompts(settings);
    for (const prompt_spec & a : specs) {
        n_held_out += a.held_out ? 1 : 0;
        n_data_held_out += a.held_out && a.kind == "data" ? 1 : 0;
        if (a.kind != "data") {
            EXPECT_EQ(a.seed != settings.seed, a.held_out);
        }
    }
    EXPECT_EQ(specs.size(), 2U * 2 * (3 + 1) + 7);
    EXPECT_EQ(n_data_held_out, 2);
    EXPECT_EQ(n_held_out, 2 * 2 + 2);
    settings.check_samples = 0;
    for (const prompt_spec & a : list_prompts(settings)) {
        EXPECT_FALSE(a.held_out);
    }
}

TEST(Text, ProseIsTheSameAndLongerOnesBeginAlike) {
    const document a = make_prose(5, 300);
    const document b = make_prose(5, 900);
    EXPECT_GE(a.words.size(), 300U);
    EXPECT_EQ(a.join(0, 300), b.join(0, 300));
    EXPECT_NE(a.join(0, 50), make_prose(6, 300).join(0, 50));
    ASSERT_FALSE(b.facts.empty());
    for (const stated_fact & fact : b.facts) {
        const std::string before = b.join(0, fact.word);
        EXPECT_NE(before.find(fact.opening + " " + fact.answer), std::string::npos) << fact.question;
    }
}

TEST(Text, OwnTextsAreTurnedNotChanged) {
    const std::vector<std::string> texts = {"One two.\n\nThree four.", "Five six."};
    const document d = shuffle_texts(3, texts);
    EXPECT_TRUE(d.facts.empty());
    std::string all = d.join(0, static_cast<int64_t>(d.words.size()));
    for (const char * word : {"One ", "two.", "Three ", "Five ", "six."}) {
        EXPECT_NE(all.find(word), std::string::npos) << word;
    }
    EXPECT_EQ(d.join(0, 2 * static_cast<int64_t>(d.words.size())), all + all);
}

TEST(Sections, PairsAreCountedAsDefined) {
    const triangle_shape shape{3, 9, 5};
    for (const int64_t n : {1, 5, 9, 12, 13, 40, 77}) {
        std::array<int64_t, 3> expected{};
        for (int64_t i = 0; i < n; ++i) {
            for (int64_t j = 0; j <= i; ++j) {
                ++expected[j < 3 || i - j < 9 ? 0 : i >= n - 5 ? 1 : 2];
            }
        }
        EXPECT_EQ(section_pairs(shape, n), expected) << n;
    }
}

TEST(Report, PairsOfAPlan) {
    plan p;
    p.shape = {3, 9, 5};
    p.layers.resize(2);
    EXPECT_DOUBLE_EQ(pairs_kept(p, 40), 1);
    p.layers[1].kind = layer_kind::triangle;
    const std::array<int64_t, 3> pairs = section_pairs(p.shape, 40);
    const double skipped = static_cast<double>(pairs[2]) / (40.0 * 41 / 2);
    EXPECT_DOUBLE_EQ(pairs_kept(p, 40), 1 - skipped / 2);
    p.layers[1].dense_head = {1, 0, 0, 1};
    EXPECT_DOUBLE_EQ(pairs_kept(p, 40), 1 - skipped / 4);
}

TEST(Drawings, HostileNamesAndEmptyRangesStayWellFormed) {
    svg_chart chart;
    chart.title = "<script>&\"";
    chart.log_y = true;
    chart.series = {{"a<b", {{0, 0}, {1, 0}}, true}};
    const std::string svg = draw_chart(chart);
    EXPECT_EQ(svg.find("<script>"), std::string::npos);
    EXPECT_NE(svg.find("&lt;script&gt;&amp;&quot;"), std::string::npos);
    EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
    EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
    EXPECT_EQ(draw_heat_map({"t", "x", "y", {{0, 0}, {0, 1e-9}}, {}}).find("nan"), std::string::npos);
    EXPECT_EQ(show_number(0.0118), "0.0118");
    EXPECT_EQ(show_number(0), "0");
    EXPECT_EQ(show_number(12), "12");
    EXPECT_EQ(show_number(3.4e-6), "3.4e-06");
}

}  // namespace
}  // namespace tmx::test
