// What the program shows and how it reads its own parts: tables, wrapping, predicted time, files, statistics.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "cli/commands/bench_rows.h"
#include "cli/compare.h"
#include "cli/input_file.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/prefill_progress.h"
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
    EXPECT_EQ(wrap("see /home/me/build/bin/llama-server there", 24, 2),
              "see\n  /home/me/build/bin/\n  llama-server there");
    EXPECT_EQ(wrap("averyveryverylongwordthatdoesnotfitatall x", 24, 0), "averyveryverylongwordthatdoesnotfitatall\nx");
}

TEST(Screen, TableColumnsLineUpAndShrink) {
    text_table table({"", "stock", "ours"});
    table.add({"time", "43.1 s", "9 s"});
    EXPECT_EQ(table.print(80), "        stock   ours\ntime   43.1 s    9 s\n");
    EXPECT_EQ(table.print(18), "       stock  ours\ntime  43.1 s   9 s\n");
}

std::vector<std::string> lines_of(const std::string & text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        lines.push_back(line);
    }
    return lines;
}

size_t widest(const std::string & text) {
    size_t most = 0;
    for (const std::string & line : lines_of(text)) {
        most = std::max(most, columns(line));
    }
    return most;
}

text_table wide_table() {
    text_table table({"", "stock", "exact", "TriangleMix"});
    table.add({"setting", "fa off, ub 512", "fa on, ub 2048", "fa on, ub 2048, fast"});
    table.add({"time to first token (TTFT)", "43.1 s", "19.0 s", "9.00 s"});
    return table;
}

TEST(Screen, TablesFitTerminals) {
    for (const int width : {120, 80, 60, 40, 24}) {
        const std::string text = wide_table().print(width);
        EXPECT_LE(widest(text), static_cast<size_t>(width)) << text;
        for (const char * kept : {"43.1 s", "19.0 s", "9.00 s"}) {
            EXPECT_TRUE(width < 40 || text.find(kept) != std::string::npos) << "broken inside a figure:\n" << text;
        }
    }
    text_table range({"mode", "p10..p90"});
    range.add({"stock", "1.234..5.678"});
    EXPECT_EQ(range.print(14), "mode  p10..p90\nstock  1.234..\n         5.678\n");
    text_table bench({"tokens", "mode", "vs stock"});
    bench.add({"1024", "stock-fa", "1.00x"});
    EXPECT_EQ(bench.print(22), "tokens     mode     vs\n                 stock\n1024   stock-fa  1.00x\n");
    EXPECT_EQ(bench.print(16), "tokens 1024\n  mode:\n    stock-fa\n  vs stock:\n    1.00x\n");
}

TEST(Screen, HelpFitsTerminals) {
    const std::string help =
        "Usage: trianglemix run [OPTIONS]\n\nOptions:\n"
        "  --stock default|best (default)\n"
        "                              stock's setting: fa off and ub 512, or the fastest of four, timed on this "
        "prompt\n"
        "  -n,--predict N (128)        most tokens of the answer, not counting the end token of the model that it ends "
        "with\n"
        "\nThe prompt is the document, an empty line, and the question, as one user message in the model's chat "
        "template;\n"
        "nothing else.\n"
        "Examples:\n"
        "  trianglemix run -m model.gguf -f report.txt -q \"What was decided?\" --layers 16-31 --window 1024\n"
        "  trianglemix run --compare                             ... by stock llama.cpp, exactly, and with the plan\n";
    EXPECT_EQ(fit_help(help, 120).find("template;\nnothing"), std::string::npos) << "paragraphs are filled anew";
    for (const int width : {120, 80, 60}) {
        const std::string text = fit_help(help, width);
        EXPECT_LE(widest(text), static_cast<size_t>(width)) << text;
        for (const std::string & line : lines_of(text)) {
            EXPECT_TRUE(line.empty() || line.back() != ' ') << "'" << line << "'";
        }
    }
    const std::string narrow = fit_help("  -n,--predict N    most tokens of the answer\n", 44);
    EXPECT_EQ(narrow, "  -n,--predict N    most tokens of the\n                    answer\n");
}

TEST(Screen, LinesAreCutBetweenCharacters) {
    EXPECT_EQ(cut("prefill: 10/20 tokens", 7), "prefill");
    EXPECT_EQ(cut("h\xc3\xa9llo", 2), "h\xc3\xa9");
    EXPECT_EQ(cut("ab", 5), "ab");
}

TEST(Screen, StreamedAnswersBreakBetweenWords) {
    word_stream narrow(11);
    std::string shown;
    for (const char * piece : {"The", " licen", "se is", " the GNU", " GPL.\n", "  So"}) {
        shown += narrow.add(piece);
    }
    EXPECT_EQ(shown, "The license\nis the GNU\nGPL.\n") << "a word waits until it is whole";
    EXPECT_EQ(shown + narrow.end(), "The license\nis the GNU\nGPL.\n  So");
    word_stream endless(1 << 20);
    const std::string text = "a  b \n\n  c ";
    shown = endless.add(text);
    EXPECT_EQ(shown + endless.end(), text) << "what goes into a file is the answer itself";
}

TEST(Documents, WhatIsNoTextIsRefusedWithAdvice) {
    const auto refusal = [](const std::string & bytes) {
        try {
            checked_document("file", bytes);
            return std::string();
        } catch (const failure & error) {
            return std::string(error.what());
        }
    };
    using namespace std::string_literals;
    EXPECT_NE(refusal("").find("empty"), std::string::npos);
    EXPECT_NE(refusal(" \n\t\r\n").find("empty"), std::string::npos);
    EXPECT_NE(refusal("\xff\xfeH\0i\0"s).find("iconv -f UTF-16"), std::string::npos);
    EXPECT_NE(refusal("H\0e\0l\0l\0o\0"s).find("UTF-16"), std::string::npos);
    EXPECT_NE(refusal("\0H\0e\0l\0l\0o"s).find("UTF-16"), std::string::npos);
    EXPECT_NE(refusal("%PDF-1.7 ...").find("pdftotext"), std::string::npos);
    EXPECT_NE(refusal("PK\x03\x04...").find("archive"), std::string::npos);
    EXPECT_NE(refusal("some text and then \0 a zero byte, once"s).find("zero byte (at 19)"), std::string::npos);
    const text_document good = checked_document("file", "\xef\xbb\xbfna\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80");
    EXPECT_EQ(good.text, "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80") << "without the byte order mark";
    EXPECT_EQ(good.note, "");
    EXPECT_EQ(good.describe(), "file, 15 bytes");
    EXPECT_NE(checked_document("file", "na\xefve caf\xe9").note.find("2 bytes"), std::string::npos) << "Latin-1";
}

TEST(Documents, OnlyRegularFilesAreOpened) {
    namespace fs = std::filesystem;
    const std::string pipe = ::testing::TempDir() + "tmx_screen_test_pipe";
    fs::remove(pipe);
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);  // nobody writes: opening it would wait for ever
    EXPECT_THROW(read_file(pipe), failure);
    EXPECT_THROW(read_document(pipe), failure);
    EXPECT_EQ(file_problem(pipe), pipe + " is a pipe, not a file");
    EXPECT_THROW(read_document("/dev/zero"), failure);
    EXPECT_THROW(read_document(::testing::TempDir()), failure);
    EXPECT_THROW(read_document("/nowhere/at/all"), failure);
    model_options model;
    model.path = pipe;
    EXPECT_THROW(model.check_file(), failure);
    fs::remove(pipe);
}

TEST(Options, NumbersAreCheckedInWordsThatPeopleRead) {
    const auto complaint = [](const std::vector<std::string> & arguments) {
        CLI::App app;
        plan_options plan;
        model_options model;
        double budget = 0;
        add_plan_options(app, plan);
        add_model_options(app, model);
        app.add_option("--kl-budget", budget)->check(positive_number());
        try {
            app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
            return std::string();
        } catch (const CLI::ParseError & error) {
            return std::string(error.what());
        }
    };
    EXPECT_EQ(complaint({"--window", "0"}), "--window: found 0, expected a whole number from 1 to 2147483647");
    EXPECT_EQ(complaint({"--sink", "-1"}), "--sink: found -1, expected a whole number from 0 to 2147483647");
    EXPECT_EQ(complaint({"--last", "many"}), "--last: found many, expected a whole number from 0 to 2147483647");
    EXPECT_EQ(complaint({"--threads", "4097"}), "--threads: found 4097, expected a whole number from 0 to 4096");
    for (const char * value : {"-1", "0", "nan", "inf", "x"}) {
        EXPECT_EQ(complaint({"--kl-budget", value}),
                  "--kl-budget: found " + std::string(value) + ", expected a number above 0");
    }
    EXPECT_EQ(complaint({"--window", "1", "--sink", "0", "--kl-budget", "1e-3"}), "");
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
        R"({"kernel":"avx2","nodes":{"triangle":3,"dynamic":5,"dense":1,"masked":2},"fallbacks":{"head_count":4},
            "gpu":{"graphs":{"cut":1,"whole":7},"passed_on":{"keys":2}},"declined":{"rows":9},"plan_refused":null,
            "products":{"computed":[{"weights":"f16","arithmetic":"bf16","nodes":2,"flops":1,"seconds":0.5},
                                    {"weights":"q8_0","arithmetic":"host","nodes":3,"flops":1,"seconds":1.5}]},
            "pairs":{"kept":25,"skipped":75,"masked":100},"seconds":0.5,
            "selected":[{"rule":"a:x=1","density":0.25,"seconds":0.5},{"rule":"b","density":1,"seconds":null}]})");
    ASSERT_EQ(s.selections.size(), 2U);
    EXPECT_EQ(s.selections[0].density, 0.25);
    EXPECT_EQ(s.selections[0].seconds, 0.5);
    EXPECT_EQ(s.selections[1].seconds, std::nullopt);
    EXPECT_EQ(s.n_planned, 8);
    EXPECT_EQ(s.n_dense, 3);
    EXPECT_DOUBLE_EQ(s.kept_share(), 0.625) << "layers that the plan does not reach count, too";
    EXPECT_EQ(s.fallback_text(), "4 head_count");
    EXPECT_EQ(s.passed_on.at("keys"), 2);
    EXPECT_EQ(s.n_whole_graphs, 7);
    EXPECT_EQ(s.declined, std::vector<std::string>{"rows"});
    EXPECT_EQ(s.plan_refused, "");
    EXPECT_EQ(s.n_products, 5);
    EXPECT_DOUBLE_EQ(s.product_seconds, 2.0);
    EXPECT_EQ(s.product_ways, "f16 in bf16, q8_0");
    EXPECT_THROW(parse_statistics("{}"), failure);
    EXPECT_THROW(parse_statistics("not json"), failure);
}

}  // namespace
}  // namespace tmx
