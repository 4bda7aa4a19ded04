// Built-in prompts in the embedded model's tokens (its weights are not loaded).
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "prompts/builtin_prompts.h"
#include "prompts/prompt_list.h"
#include "runtime/backend.h"
#include "runtime/failure.h"

namespace tmx::test {
namespace {

const model & vocabulary() {
    static backend b({default_backend_paths().llama_bin, ""}, false);
    static const model m(TMX_TEST_MODEL, {}, false);
    return m;
}

TEST(BuiltinPrompts, FillTheirLengthAndAreTheSameForTheSameSeed) {
    const std::vector<std::string> texts = {
        "The harbour is open all year. Boats come and go.\n\nIn winter there are few.\n\n"};
    for (const prompt_kind kind : k_all_kinds) {
        for (const std::vector<std::string> & from : {std::vector<std::string>{}, texts}) {
            const built_prompt a = build_prompts(vocabulary(), kind, 700, 5, from, 1).front();
            EXPECT_LE(a.ids.size(), 700U) << name_of(kind);
            EXPECT_GT(a.ids.size(), 640U) << name_of(kind);
            EXPECT_EQ(a.ids, build_prompts(vocabulary(), kind, 700, 5, from, 1).front().ids);
            EXPECT_NE(a.ids, build_prompts(vocabulary(), kind, 700, 6, from, 1).front().ids);
        }
    }
}

TEST(BuiltinPrompts, TheAnswerStandsInThePromptAndTheTargetBeginsIt) {
    for (const prompt_kind kind : k_all_kinds) {
        int n_answers = 0;
        for (uint64_t seed = 0; seed < 8; ++seed) {
            const built_prompt p = build_prompts(vocabulary(), kind, 500, seed, {}, 1).front();
            if (p.answer.empty()) {
                EXPECT_EQ(p.target, -1);
                continue;
            }
            ++n_answers;
            const std::string text = vocabulary().text(p.ids);
            EXPECT_NE(text.find(p.answer), std::string::npos) << text;
            const std::string first = vocabulary().piece(p.target);
            EXPECT_EQ(p.answer.substr(0, first.size()), first) << name_of(kind) << " " << p.answer;
        }
        EXPECT_GE(n_answers, kind == prompt_kind::doc ? 3 : 8);
    }
}

TEST(BuiltinPrompts, QuestionsAboutOneContextDifferBehindItAndHaveOtherAnswers) {
    for (const prompt_kind kind : k_all_kinds) {
        const std::vector<built_prompt> asked = build_prompts(vocabulary(), kind, 1500, 5, {}, k_most_questions);
        ASSERT_EQ(asked.size(), static_cast<size_t>(k_most_questions));
        std::set<std::vector<token_id>> different;
        for (const built_prompt & p : asked) {
            EXPECT_LE(p.ids.size(), 1500U);
            EXPECT_NE(vocabulary().text(p.ids).find(p.answer), std::string::npos) << p.answer;
            const auto first_other =
                std::mismatch(p.ids.begin(), p.ids.end(), asked[0].ids.begin(), asked[0].ids.end()).first;
            EXPECT_LT(p.ids.end() - first_other, 110) << name_of(kind);
            different.insert(p.ids);
        }
        EXPECT_GE(different.size(), kind == prompt_kind::doc ? 5U : asked.size()) << name_of(kind);
        EXPECT_EQ(asked[3].ids, build_prompts(vocabulary(), kind, 1500, 5, {}, k_most_questions)[3].ids);
    }
}

TEST(BuiltinPrompts, TooShortIsRefused) {
    EXPECT_THROW(static_cast<void>(build_prompts(vocabulary(), prompt_kind::kv, 30, 1, {}, 1)), failure);
    EXPECT_THROW(static_cast<void>(parse_prompt_kind("poem")), failure);
}

TEST(PromptList, OwnPromptsTemplatedRawAndAsTokens) {
    prompt_settings settings;
    settings.check_samples = 0;
    data_prompt text;
    text.text = "Hello there";
    text.target_text = " World";
    data_prompt raw = text;
    raw.chat_template = false;
    data_prompt ids;
    ids.ids = {5, 6, 7};
    settings.data = {text, raw, ids};
    const std::vector<prompt_spec> specs = list_prompts(settings);
    ASSERT_EQ(specs.size(), 3U);
    const probe_prompt a = make_prompts(vocabulary(), settings, specs[0]).front();
    const probe_prompt b = make_prompts(vocabulary(), settings, specs[1]).front();
    const probe_prompt c = make_prompts(vocabulary(), settings, specs[2]).front();
    EXPECT_GT(a.ids.size(), b.ids.size());
    EXPECT_EQ(b.ids, vocabulary().tokenise("Hello there"));
    EXPECT_EQ(a.target, vocabulary().tokenise(" World").front());
    EXPECT_EQ(c.ids, (std::vector<token_id>{5, 6, 7}));
    EXPECT_EQ(c.target, -1);
    EXPECT_NE(a.key, b.key);
    EXPECT_EQ(a.key, make_prompts(vocabulary(), settings, specs[0]).front().key);
}

}  // namespace
}  // namespace tmx::test
