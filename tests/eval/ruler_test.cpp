// RULER's tasks and the needle map: what is in a prompt, how long it is, that whoever reads it answers right, and that
// whoever does not see its middle fails where he should.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <sstream>

#include "eval/task_table.h"
#include "eval/tasks/needle_map.h"
#include "oracle_reader.h"
#include "word_tokenizer.h"

namespace tmx {
namespace {

const word_tokenizer k_tokens;

const eval_sources & sources() {
    static const eval_sources made = builtin_sources();
    return made;
}

eval_example made(const eval_task & task, int64_t budget, int64_t index, bool frozen = false) {
    return task.make({budget, index, 7, frozen, k_tokens});
}

size_t count_of(const std::string & text, const std::string & part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++n;
    }
    return n;
}

TEST(ruler, prompts_fill_their_budget) {
    for (const task_row * row : find_tasks("ruler")) {
        const auto task = row->open(sources(), row->name);
        const bool counts = std::string(row->name) == "cwe" || std::string(row->name) == "fwe";
        for (const int64_t budget : {int64_t{2048}, int64_t{8192}}) {
            for (int64_t i = 0; i < 3; ++i) {
                const eval_example e = made(*task, budget, i);
                const int64_t n = k_tokens.count_prompt(e) + e.max_new_tokens;
                EXPECT_LE(n, budget) << row->name;
                EXPECT_GE(static_cast<double>(n), (counts ? 0.94 : 0.97) * static_cast<double>(budget)) << row->name;
                EXPECT_LT(e.question_at, e.turns.back().text.size()) << row->name;
            }
        }
    }
}

TEST(ruler, who_reads_answers_everything) {
    for (const task_row * row : find_tasks("ruler")) {
        const auto task = row->open(sources(), row->name);
        for (int64_t i = 0; i < 8; ++i) {
            const eval_example e = made(*task, 4096, i);
            const std::string answer = read_task(row->name, e.turns.back().text);
            EXPECT_EQ(task->score(e, answer).value, 1) << row->name << " #" << i << ": " << answer;
            EXPECT_EQ(task->score(e, e.gold).value, 1) << row->name;
        }
    }
}

// What is asked stands in the prompt once, so that no other place of it can give the answer away.
TEST(ruler, needles_and_facts_are_there_once) {
    for (const task_row * row : find_tasks("ruler")) {
        const std::string name = row->name;
        if (name == "cwe" || name == "fwe" || name == "vt") {
            continue;
        }
        const auto task = row->open(sources(), row->name);
        const eval_example e = made(*task, 4096, 1);
        for (const std::string & answer : e.outputs) {
            EXPECT_EQ(count_of(e.turns.back().text, answer), 1U) << name << " " << answer;
        }
    }
}

// Words of the prompt in an order that has nothing to do with what is asked, and nothing at all.
TEST(ruler, who_does_not_read_scores_nothing) {
    for (const task_row * row : find_tasks("ruler")) {
        const auto task = row->open(sources(), row->name);
        double sum = 0;
        for (int64_t i = 0; i < 8; ++i) {
            const eval_example e = made(*task, 4096, i);
            EXPECT_EQ(task->score(e, "").value, 0) << row->name;
            const eval_example other = made(*task, 4096, i + 100);
            sum += task->score(e, joined(other.outputs)).value;
        }
        EXPECT_LE(sum, 0.5) << row->name << ": another example's answers are taken for right ones";
    }
}

// Sees the beginning and the end, as rows of a Triangle layer do.
TEST(ruler, who_lacks_the_middle_fails_where_the_needle_is_in_it) {
    const auto task = find_tasks("ruler/niah_single_2").front()->open(sources(), "niah_single_2");
    int found = 0;
    for (int64_t i = 0; i < 40; ++i) {
        const eval_example e = made(*task, 8192, i);
        const std::string & prompt = e.turns.back().text;
        const size_t n_visible = prompt.size() * 640 / 8192;
        const std::string seen = prompt.substr(0, 40) + prompt.substr(prompt.size() - n_visible);
        const bool in_tail = prompt.find(e.outputs.front()) >= prompt.size() - n_visible;
        const double score = task->score(e, read_needles(seen)).value;
        EXPECT_LE(score, in_tail ? 1 : 0) << i;
        found += score > 0 ? 1 : 0;
    }
    EXPECT_GE(found, 0);
    EXPECT_LE(found, 10) << "a twelfth of the prompt is seen";
}

TEST(ruler, needles_are_everywhere) {
    const auto task = find_tasks("ruler/niah_multivalue").front()->open(sources(), "niah_multivalue");
    constexpr size_t k_places = 40;
    std::array<double, k_places> seen{};
    double n = 0;
    for (int64_t i = 0; i < 150; ++i) {
        std::istringstream depths(made(*task, 8192, i).meta["depth"]);
        for (double depth = 0; depths >> depth;) {
            seen[std::min<size_t>(static_cast<size_t>(std::lround(depth * (k_places - 1))), k_places - 1)] += 1;
            n += 1;
        }
    }
    double chi_squared = 0;
    for (const double count : seen) {
        chi_squared += (count - n / k_places) * (count - n / k_places) / (n / k_places);
    }
    // 39 degrees of freedom: 0.999 of draws are below. The places are the same in every run.
    EXPECT_LT(chi_squared, 72.05);
}

TEST(ruler, the_same_request_gives_the_same_bytes) {
    for (const task_row * row : find_tasks("ruler")) {
        const auto task = row->open(sources(), row->name);
        const auto again = row->open(sources(), row->name);
        const eval_example e = made(*task, 2048, 3);
        EXPECT_EQ(e.turns.back().text, made(*again, 2048, 3).turns.back().text) << row->name;
        EXPECT_NE(e.turns.back().text, made(*task, 2048, 4).turns.back().text) << row->name;
    }
}

TEST(ruler, orders_are_fresh_unless_frozen) {
    const auto task = find_tasks("ruler/niah_single_1").front()->open(sources(), "niah_single_1");
    std::set<std::string> fresh;
    std::set<std::string> frozen;
    for (int64_t i = 0; i < 6; ++i) {
        fresh.insert(made(*task, 2048, i).meta["depth"]);
        const eval_example same = made(*task, 2048, i, true);
        const std::string & text = same.turns.back().text;
        const auto before = text.begin() + static_cast<std::ptrdiff_t>(text.find("One of the special"));
        frozen.insert(std::to_string(std::count(text.begin(), before, '\n')));
    }
    EXPECT_GT(fresh.size(), 3U);
    EXPECT_EQ(frozen.size(), 1U);
}

TEST(ruler, too_small_a_budget_is_refused) {
    for (const task_row * row : find_tasks("ruler")) {
        const auto task = row->open(sources(), row->name);
        EXPECT_ANY_THROW(made(*task, 60, 0)) << row->name;
    }
}

// A model whose tokens are short: made words have several each.
class short_tokens : public word_tokenizer {
  public:
    int64_t count_prompt(const eval_example & e) const override { return 4 * word_tokenizer::count_prompt(e); }
};

TEST(ruler, all_tasks_can_be_made_at_4096_tokens_whatever_the_tokeniser) {
    const short_tokens tokens;
    for (const task_row * row : find_tasks("ruler")) {
        const auto task = row->open(sources(), row->name);
        const eval_example e = task->make({4096, 0, 7, false, tokens});
        EXPECT_LE(tokens.count_prompt(e) + e.max_new_tokens, 4096) << row->name;
    }
    const task_row & cwe = *find_tasks("ruler/cwe").front();
    const eval_example usual = made(*cwe.open(sources(), cwe.name), 4096, 0);
    EXPECT_EQ(count_of(usual.turns.back().text, " " + usual.outputs.front() + " "), 30U);
    const eval_example less = cwe.open(sources(), cwe.name)->make({4096, 0, 7, false, tokens});
    EXPECT_EQ(count_of(less.turns.back().text, " " + less.outputs.front() + " "), 6U) << "where 30 times do not fit";
}

TEST(needle_map, every_place_comes_in_turn) {
    for (const task_row * row : find_tasks("needle")) {
        const auto task = row->open(sources(), row->name);
        for (size_t i = 0; i < needle_places().size(); ++i) {
            const eval_example e = made(*task, 4096, static_cast<int64_t>(i));
            EXPECT_EQ(e.meta.at("place"), needle_places()[i]);
            EXPECT_EQ(count_of(e.turns.back().text, e.outputs.front()), 1U);
            EXPECT_LE(k_tokens.count_prompt(e) + e.max_new_tokens, 4096);
            const std::string & text = e.turns.back().text;
            const auto behind = k_tokens.tokenise(text.substr(text.find(e.outputs.front()))).size();
            if (e.meta.at("place") == "across the last rows' edge") {
                EXPECT_NEAR(static_cast<double>(behind), 128, 60) << row->name;
            }
            if (e.meta.at("place") == "across the sink's edge") {
                EXPECT_FALSE(e.chat_template) << "the prompt's first tokens would be the template's";
                EXPECT_EQ(text.find("One of the special magic"), 0U) << row->name;
                EXPECT_GT(k_tokens.tokenise(text.substr(0, text.find(e.outputs.front()))).size(), 8U);
                EXPECT_NE(text.find("What is the special magic"), std::string::npos);
            }
            if (e.meta.at("place") == "0%") {
                EXPECT_GT(behind, 3700U) << row->name;
            }
        }
    }
}

TEST(long_answers, have_a_thousand_tokens_and_stand_in_the_prompt) {
    const task_row & row = *find_tasks("long-answer/recite").front();
    const auto task = row.open(sources(), row.name);
    std::set<std::string> first_lines;
    for (const int64_t budget : {int64_t{4096}, int64_t{16384}}) {
        for (int64_t i = 0; i < 6; ++i) {
            const eval_example e = made(*task, budget, i);
            const std::string & text = e.turns.back().text;
            EXPECT_GE(k_tokens.tokenise(e.gold).size(), 990U);
            EXPECT_GE(e.max_new_tokens, 1000);
            EXPECT_LE(k_tokens.count_prompt(e) + e.max_new_tokens, budget);
            EXPECT_GE(static_cast<double>(k_tokens.count_prompt(e) + e.max_new_tokens),
                      0.97 * static_cast<double>(budget));
            EXPECT_NE(text.find("\n" + e.gold + "\n"), std::string::npos)
                << "the lines stand there as they are asked for";
            for (const std::string & line : {e.outputs.front(), e.outputs.back()}) {
                EXPECT_EQ(count_of(text, "the line of " + line.substr(0, line.find(':')) + " ") +
                              count_of(text, "the line of " + line.substr(0, line.find(':')) + ","),
                          1U);
            }
            first_lines.insert(e.outputs.front());
            EXPECT_EQ(task->score(e, e.gold).value, 1);
            EXPECT_EQ(task->score(e, "").value, 0);
            EXPECT_FALSE(task->score(e, " \n").found);
        }
    }
    EXPECT_EQ(first_lines.size(), 12U) << "other places in every example";
    EXPECT_ANY_THROW(made(*task, 1500, 0));
}

TEST(long_answers, are_scored_by_their_lines) {
    const task_row & row = *find_tasks("long-answer/recite").front();
    const auto task = row.open(sources(), row.name);
    eval_example e;
    e.outputs = {"red-fox: 11", "old-cat: 22", "sad-owl: 33", "shy-elk: 44"};
    const task_score half = task->score(e, "red-fox: 11\r\nold-cat: 23\n sad-owl: 33\n");
    EXPECT_EQ(half.value, 0.5);
    EXPECT_EQ(half.read, "2 of 4 lines, 1 before the first wrong one");
    EXPECT_EQ(task->score(e, "red-fox: 113").value, 0) << "a longer line is another one";
}

TEST(task_table, says_what_there_is) {
    EXPECT_EQ(find_tasks("ruler").size(), 13U);
    EXPECT_EQ(find_tasks("ruler/vt").size(), 1U);
    EXPECT_ANY_THROW(find_tasks("rular"));
    EXPECT_ANY_THROW(find_tasks("ruler/none"));
}

}  // namespace
}  // namespace tmx
