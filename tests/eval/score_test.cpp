// Every score against committed lines, which tests/eval/cross_check.py compared with the packages that official results
// are computed with. TMX_GOLDEN_FOLDER names other lines of the same form.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "eval/score/aime_answer.h"
#include "eval/score/answer_match.h"
#include "eval/score/characters.h"
#include "eval/score/choice_letter.h"
#include "eval/score/gsm8k_answer.h"
#include "eval/score/gsm_infinite_answer.h"
#include "eval/score/longbench_score.h"
#include "eval/score/numbers.h"
#include "eval/score/rouge_l.h"

namespace tmx::test {
namespace {

using json = nlohmann::json;
using scorer = std::function<json(const json &)>;

std::string text_of(const json & line) {
    return line.at("prediction").get<std::string>();
}

std::vector<std::string> list_of(const json & line, const char * key) {
    return line.contains(key) && !line[key].is_null() ? line[key].get<std::vector<std::string>>()
                                                      : std::vector<std::string>();
}

template <class T>
json or_null(const std::optional<T> & value) {
    return value ? json(*value) : json();
}

scorer by_longbench(longbench_metric metric, code_rule rule = code_rule::difflib) {
    return [=](const json & line) -> json {
        const longbench_dataset dataset{"made", "made", metric, false, false, false, false};
        return longbench_score(dataset, text_of(line), list_of(line, "answers"), list_of(line, "classes"), rule);
    };
}

scorer by_text(std::optional<std::string> (*extract)(std::string_view)) {
    return [=](const json & line) { return or_null(extract(text_of(line))); };
}

const std::map<std::string, scorer> & scorers() {
    using metric = longbench_metric;
    static const std::map<std::string, scorer> all = {
        {"ruler_all", [](const json & l) -> json { return share_of_answers(text_of(l), list_of(l, "answers")); }},
        {"ruler_part", [](const json & l) -> json { return any_answer(text_of(l), list_of(l, "answers")); }},
        {"qa_f1", by_longbench(metric::word_f1)},
        {"rouge_l", by_longbench(metric::rouge_l)},
        {"classification", by_longbench(metric::class_match)},
        {"count", by_longbench(metric::number_share)},
        {"retrieval", by_longbench(metric::paragraph_share)},
        {"code_sim_difflib", by_longbench(metric::code_similarity)},
        {"code_sim_lev", by_longbench(metric::code_similarity, code_rule::lev)},
        {"v2_choice",
         [](const json & l) {
             const std::optional<char> letter = choice_letter(text_of(l));
             return letter ? json(std::string(1, *letter)) : json();
         }},
        {"gsm_infinite_gold", by_text(solution_number)},
        {"gsm_infinite_robust", by_text(robust_number)},
        {"gsm_infinite_official", by_text(official_number)},
        {"gsm_infinite_symbolic", [](const json & l) -> json { return named_variables(text_of(l)); }},
        {"gsm8k_gold", by_text(gsm8k_gold)},
        {"gsm8k_strict", by_text(gsm8k_strict)},
        {"gsm8k_flexible", by_text(gsm8k_flexible)},
        {"aime", by_text(aime_answer)},
    };
    return all;
}

bool agree(const json & committed, const json & computed) {
    if (committed.is_number() && computed.is_number()) {
        return std::abs(committed.get<double>() - computed.get<double>()) < 1e-9;
    }
    return committed == computed;
}

TEST(Scores, AgreeWithGoldenLines) {
    const char * other = std::getenv("TMX_GOLDEN_FOLDER");
    std::map<std::string, int> n_lines;
    for (const auto & file : std::filesystem::directory_iterator(other != nullptr ? other : TMX_GOLDEN_FOLDER)) {
        std::ifstream in(file.path());
        std::string text;
        for (int number = 1; std::getline(in, text); ++number) {
            const json line = json::parse(text);
            const std::string name = line.at("metric");
            ++n_lines[name];
            const json computed = scorers().at(name)(line);
            EXPECT_TRUE(agree(line.at("value"), computed))
                << file.path().filename() << ", line " << number << ": " << text << "\ncomputed " << computed;
        }
    }
    if (other == nullptr) {
        for (const auto & [name, score] : scorers()) {
            EXPECT_GE(n_lines[name], 8) << name;
        }
    }
}

TEST(Characters, Utf8ComesBack) {
    const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    EXPECT_EQ(decode_utf8(text), U"a\u00e9\u20ac\U0001f600z");
    EXPECT_EQ(encode_utf8(decode_utf8(text)), text);
}

TEST(Characters, WhatIsNoUtf8IsReplaced) {
    EXPECT_EQ(decode_utf8("a\xff z\xc3"), U"a\ufffd z\ufffd");
    EXPECT_EQ(decode_utf8("\xc0\xaf"), U"\ufffd\ufffd");                        // too long for "/"
    EXPECT_EQ(decode_utf8("\xed\xa0\x80"), U"\ufffd\ufffd\ufffd");              // half of a pair
    EXPECT_EQ(decode_utf8("\xf4\x90\x80\x80x"), U"\ufffd\ufffd\ufffd\ufffdx");  // above the last character
}

TEST(Characters, AsPythonKnowsThem) {
    EXPECT_EQ(lower_case(U"\u00c9\u0416\u0130\u1e9e\uff21\u01c5"), U"\u00e9\u0436i\u0307\u00df\uff41\u01c6");
    EXPECT_TRUE(is_word(U'_'));
    EXPECT_TRUE(is_word(U'\u00b2'));
    EXPECT_FALSE(is_word(U'\u2019'));
    EXPECT_EQ(digit_of(U'\u0667'), 7);
    EXPECT_EQ(digit_of(U'\u00b2'), -1);
    EXPECT_TRUE(is_blank(U'\u00a0'));
    EXPECT_FALSE(is_blank(U'\u200b'));
}

TEST(Numbers, ComparedAsWritten) {
    EXPECT_EQ(plain_decimal("-0,012.50"), "-12.5");
    EXPECT_EQ(plain_decimal("18.0"), "18");
    EXPECT_EQ(plain_decimal("-0"), "0");
    EXPECT_EQ(plain_decimal(".50"), "0.5");
    EXPECT_EQ(plain_decimal("123456789012345678901234567890"), "123456789012345678901234567890");
    for (const char * wrong : {"", "-", ".", ",1", "1.2.3", "1.2,3", "12a", " 12"}) {
        EXPECT_EQ(plain_decimal(wrong), std::nullopt) << wrong;
    }
    EXPECT_EQ(python_integer(U" +1_000\n"), "1000");
    EXPECT_EQ(python_integer(U"\u0661\u0662"), "12");
    for (const char32_t * wrong : {U"", U"1__0", U"_1", U"1_", U"+ 1", U"1,000", U"1.0"}) {
        EXPECT_EQ(python_integer(wrong), std::nullopt) << encode_utf8(wrong);
    }
}

TEST(Rouge, CountsTheStepsThatThePackageCannotWalk) {
    std::string words;
    for (int i = 0; i < 600; ++i) {
        words.append("w").append(std::to_string(i)).append(" ");
    }
    EXPECT_EQ(rouge_l(words, words).longest_walk, 600U);
    EXPECT_NEAR(rouge_l(words, words).f, 1, 1e-8);
    EXPECT_EQ(rouge_l("", words).longest_walk, 0U);
}

TEST(LongBench, FirstLineOfFewShotTasks) {
    const longbench_dataset * trivia = find_longbench_dataset("triviaqa");
    ASSERT_NE(trivia, nullptr);
    EXPECT_EQ(longbench_score(*trivia, "\n\nParis\nQuestion: more", {"Rome", "Paris"}, {}, code_rule::difflib), 1);
    EXPECT_EQ(find_longbench_dataset("dureader"), nullptr);
}

TEST(LongBench, AnswersAreCheckedBeforeTheyAreScored) {
    EXPECT_EQ(check_longbench_answers(longbench_metric::word_f1, {"x"}, {}), "");
    EXPECT_NE(check_longbench_answers(longbench_metric::word_f1, {}, {}), "");
    EXPECT_NE(check_longbench_answers(longbench_metric::class_match, {"x"}, {}), "");
    EXPECT_NE(check_longbench_answers(longbench_metric::paragraph_share, {"Paragraph x"}, {}), "");
}

}  // namespace
}  // namespace tmx::test
