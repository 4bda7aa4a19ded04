// RULER's tasks: what is in a prompt, how long it is, and that whoever reads it answers right.
#include <gtest/gtest.h>

#include <algorithm>

#include "eval/task_table.h"
#include "word_tokenizer.h"

namespace tmx {
namespace {

size_t count_of(const std::string & text, const std::string & part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++n;
    }
    return n;
}

TEST(ruler, prompts_fill_their_budget_and_hold_each_answer_once) {
    const word_tokenizer tokens;
    const eval_sources sources = builtin_sources();
    for (const task_row * row : find_tasks("ruler")) {
        const auto task = row->open(sources, row->name);
        for (const int64_t budget : {int64_t{2048}, int64_t{8192}}) {
            for (int64_t i = 0; i < 3; ++i) {
                const eval_example e = task->make({budget, i, 7, false, tokens});
                const int64_t n = tokens.count_prompt(e) + e.max_new_tokens;
                EXPECT_LE(n, budget) << row->name;
                EXPECT_GE(static_cast<double>(n), 0.97 * static_cast<double>(budget)) << row->name;
                for (const std::string & answer : e.outputs) {
                    EXPECT_EQ(count_of(e.turns.back().text, answer), 1U) << row->name << " " << answer;
                }
                EXPECT_EQ(task->score(e, e.gold).value, 1) << row->name;
                EXPECT_EQ(task->score(e, "no idea").value, 0) << row->name;
            }
        }
    }
}

}  // namespace
}  // namespace tmx
