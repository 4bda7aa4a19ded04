// GSM-Infinite's problems made here: whoever reads a whole prompt can answer, whoever lacks the middle cannot, and a
// problem takes as many operations as it says. The readers share no code with the generators.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "data_folder.h"
#include "eval/run/settings.h"
#include "word_tokenizer.h"

namespace tmx::test {
namespace {

const word_tokenizer k_problem_tokens;
constexpr int64_t k_operations[] = {2, 3, 4, 5, 6, 8, 10};

eval_example made(const eval_task & task, int64_t index, int64_t budget, uint64_t seed = 7) {
    return task.make({budget, index, seed, false, k_problem_tokens});
}

std::string context_of(const eval_example & e) {
    return e.turns.at(0).text.substr(0, e.question_at);
}

std::vector<std::string> lines_of(const std::string & text) {
    std::istringstream in(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
        lines.push_back(line);
    }
    return lines;
}

// Only the first 60 and the last 600 characters: about what a model sees that lost the middle.
std::string without_middle(const std::string & context) {
    return context.substr(0, 60) + "\n" + context.substr(context.size() - 600);
}

// All variables whose value follows from the lines.
std::map<std::string, int64_t> solved(const std::string & context) {
    struct line {
        std::string name, from;
        int64_t add = 0;
    };
    std::vector<line> open;
    std::map<std::string, int64_t> values;
    for (const std::string & text : lines_of(context)) {
        std::istringstream in(text);
        std::string assign, name, equals, right, sign, term;
        in >> assign >> name >> equals >> right >> sign >> term;
        if (assign != "assign") {
            continue;
        }
        if (right[0] != 'V') {
            values[name] = std::stoll(right);
            continue;
        }
        open.push_back({name, right.substr(0, 7), sign == "+" ? 1 : sign == "-" ? -1 : 0});
    }
    for (size_t before = open.size() + 1; before > open.size();) {
        before = open.size();
        std::erase_if(open, [&](const line & l) {
            const auto found = values.find(l.from);
            if (found != values.end()) {
                values[l.name] = found->second + l.add;
            }
            return found != values.end();
        });
    }
    return values;
}

std::vector<std::string> with_value(const std::map<std::string, int64_t> & values, const eval_example & e) {
    const std::string question = e.turns.at(0).text.substr(e.question_at);
    const int64_t asked = std::stoll(question.substr(question.find("the value ") + 10));
    std::vector<std::string> names;
    for (const auto & [name, value] : values) {
        if (value == asked) {
            names.push_back(name);
        }
    }
    return names;
}

std::string sentence_of(const std::vector<std::string> & names) {
    std::string text = "So the final answer is";
    for (const std::string & name : names) {
        text += " " + name + ",";
    }
    return text;
}

TEST(Symbolic, AReaderOfTheWholePromptAnswersRight) {
    const auto task = data_folder().open("gsm-infinite/symbolic");
    int n_blind = 0, n_without_middle = 0;
    for (int64_t i = 0; i < 42; ++i) {
        const eval_example e = made(*task, i, 8192);
        const auto values = solved(context_of(e));
        EXPECT_EQ(static_cast<int64_t>(values.size()), k_operations[i % 7]);  // the others have no root
        EXPECT_EQ(e.meta.at("op"), std::to_string(k_operations[i % 7]));
        EXPECT_EQ(with_value(values, e), e.outputs);
        EXPECT_EQ(task->score(e, sentence_of(e.outputs)).value, 1);
        EXPECT_EQ(task->score(e, sentence_of(with_value(values, e)) + " V111111").value, 0);
        n_blind += task->score(e, "The final answer is V123456.").value > 0;
        const auto seen = with_value(solved(without_middle(context_of(e))), e);
        n_without_middle += task->score(e, sentence_of(seen)).value > 0;
    }
    EXPECT_EQ(n_blind, 0);
    EXPECT_LE(n_without_middle, 4);
}

// What a statement says of one quantity.
struct told {
    std::string how;  // "is", "more", "times", "sum", "minus", "total"
    int64_t number = 0;
    std::vector<std::string> others;  // names
};

std::string after(const std::string & text, const std::string & what) {
    const size_t at = text.find(what);
    return at == std::string::npos ? "" : text.substr(at + what.size());
}

// The names "the number of ... in ... ..." in a text.
std::vector<std::string> names_in(const std::string & text) {
    std::vector<std::string> names;
    for (size_t at = text.find("the number of "); at != std::string::npos; at = text.find("the number of ", at + 1)) {
        const size_t place = text.find(" in ", at) + 4;
        const size_t end = text.find_first_of(" ,.?", text.find(' ', place) + 1);
        names.push_back(text.substr(at, end - at));
    }
    return names;
}

std::map<std::string, told> statements_of(const std::string & context) {
    std::map<std::string, told> all;
    for (std::string line : lines_of(context)) {
        if (line.compare(0, 14, "The number of ") != 0 || line.back() != '.') {
            continue;
        }
        line[0] = 't';
        std::vector<std::string> names = names_in(line);
        const std::string said = after(line, names[0] + " is ");
        told one;
        one.others.assign(names.begin() + 1, names.end());
        one.number = std::atoll(said.c_str());
        one.how = holds(said, "sum of")        ? "sum"
                  : holds(said, "total of")    ? "total"
                  : holds(said, " minus ")     ? "minus"
                  : holds(said, " more than ") ? "more"
                  : holds(said, " times ")     ? "times"
                                               : "is";
        EXPECT_TRUE(all.emplace(names[0], one).second) << "told twice: " << line;
    }
    return all;
}

// The value, if all that it needs is told; counts operations of each quantity once.
std::optional<int64_t> value_of(const std::string & name, const std::map<std::string, told> & all,
                                std::map<std::string, int64_t> & known, int64_t & n_operations) {
    if (known.count(name) > 0) {
        return known[name];
    }
    const auto found = all.find(name);
    if (found == all.end()) {
        return std::nullopt;
    }
    const told & one = found->second;
    std::vector<int64_t> values;
    for (const std::string & other : one.others) {
        const auto value = value_of(other, all, known, n_operations);
        if (!value) {
            return std::nullopt;
        }
        values.push_back(*value);
    }
    int64_t result = one.number;
    if (one.how == "more") {
        result += values.at(0);
    } else if (one.how == "times") {
        result *= values.at(0);
    } else if (one.how == "minus") {
        result = values.at(0) - values.at(1);
    } else if (one.how == "sum") {
        result = values.at(0) + values.at(1);
    } else if (one.how == "total") {
        result = values.at(0) + values.at(1) + values.at(2);
    }
    n_operations += one.how == "is" ? 0 : one.how == "total" ? 2 : 1;
    known[name] = result;
    return result;
}

TEST(WordProblems, AReaderOfTheWholePromptAnswersRight) {
    const auto task = data_folder().open("gsm-infinite/gsm-inf-lite");
    int n_blind = 0, n_without_middle = 0;
    for (int64_t i = 0; i < 42; ++i) {
        const eval_example e = made(*task, i, 8192);
        const std::string asked = names_in(e.turns.at(0).text.substr(e.question_at)).at(0);
        const auto all = statements_of(context_of(e));
        EXPECT_EQ(std::to_string(all.size()), e.meta.at("statements"));
        std::map<std::string, int64_t> known;
        int64_t n_operations = 0;
        const auto value = value_of(asked, all, known, n_operations);
        ASSERT_TRUE(value) << asked;
        EXPECT_EQ(n_operations, k_operations[i % 7]);
        EXPECT_EQ(e.outputs, std::vector<std::string>{std::to_string(*value)});
        EXPECT_EQ(task->score(e, "Answer: " + std::to_string(*value) + ".").value, 1);
        EXPECT_EQ(task->score(e, "Answer: " + std::to_string(*value + 1) + ".").value, 0);
        for (const auto & [name, one] : all) {  // noise can be worked out as well, and stays small
            const auto other = value_of(name, all, known, n_operations);
            ASSERT_TRUE(other) << name;
            EXPECT_TRUE(*other >= 0 && *other <= 1000) << name << " " << *other;
        }
        n_blind += task->score(e, "Answer: 4.").value > 0;
        std::map<std::string, int64_t> seen;
        n_without_middle +=
            value_of(asked, statements_of(without_middle(context_of(e))), seen, n_operations).has_value();
    }
    EXPECT_LE(n_blind, 8);
    EXPECT_LE(n_without_middle, 2);
}

TEST(Problems, FillTheirBudgetAndAreTheSameEveryTime) {
    for (const char * name : {"gsm-infinite/symbolic", "gsm-infinite/gsm-inf-lite"}) {
        const auto task = data_folder().open(name);
        for (const int64_t budget : {int64_t{2048}, int64_t{16384}}) {
            const eval_example e = made(*task, 3, budget);
            const int64_t n = k_problem_tokens.count_prompt(e) + e.max_new_tokens;
            EXPECT_LE(n, budget) << name;
            EXPECT_GE(static_cast<double>(n), 0.97 * static_cast<double>(budget)) << name;
            EXPECT_EQ(made(*task, 3, budget).turns.at(0).text, e.turns.at(0).text);
            EXPECT_NE(made(*task, 10, budget).turns.at(0).text, e.turns.at(0).text);
            EXPECT_NE(made(*task, 3, budget, 8).turns.at(0).text, e.turns.at(0).text);
        }
        EXPECT_THROW(made(*task, 0, 1050), failure);
    }
}

TEST(Problems, TakeTheOperationsThatAreAskedFor) {
    eval_sources sources;
    sources.operations = {1, 3};
    for (const char * name : {"gsm-infinite/symbolic", "gsm-infinite/gsm-inf-lite"}) {
        const task_row & row = *find_tasks(name).front();
        const auto task = row.open(sources, row.name);
        for (int64_t i = 0; i < 6; ++i) {
            EXPECT_EQ(made(*task, i, 2048).meta.at("op"), i % 2 == 0 ? "1" : "3") << name;
        }
    }
    eval_settings as_shipped;
    eval_settings others;
    others.sources.operations = {1};
    EXPECT_NE(identity_of_data(as_shipped), identity_of_data(others));
}

// Where the needed statements stand is spread over the whole context.
TEST(Problems, WhatIsNeededStandsAnywhere) {
    const auto task = data_folder().open("gsm-infinite/symbolic");
    std::vector<int> n_in_fifth(5);
    int n_all = 0;
    for (int64_t i = 0; i < 70; ++i) {
        const eval_example e = made(*task, i, 4096);
        const std::string context = context_of(e);
        for (const auto & [name, value] : solved(context)) {
            const size_t at = context.find("assign " + name + " =");
            ++n_in_fifth[at * 5 / context.size()];
            ++n_all;
        }
    }
    // 380 places; a fifth has 76, with a standard deviation of 7.8.
    EXPECT_EQ(n_all, 380);
    for (const int n : n_in_fifth) {
        EXPECT_NEAR(n, 76, 4 * 7.8);
    }
}

}  // namespace
}  // namespace tmx::test
