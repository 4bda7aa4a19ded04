// What the profiler reads and writes: records, data files, hashes, made text, the report's drawings.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "measure/hash.h"
#include "measure/record_store.h"
#include "probe/section_sums.h"
#include "profile/pair_share.h"
#include "profile/plan_provenance.h"
#include "profile/prompt_check.h"
#include "profile/record_keys.h"
#include "prompts/prompt_list.h"
#include "prompts/text_source.h"
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
    {
        record_store store(path);
        EXPECT_EQ(store.n_found(), 2U);
        ASSERT_NE(store.find("b"), nullptr);
        EXPECT_EQ(store.find("b")->at("value").get<double>(), 1.0 / 3);  // every bit
        EXPECT_EQ(store.find("half"), nullptr);
        store.append("c", {{"value", 2}});
    }
    EXPECT_EQ(record_store(path).n_found(), 3U);
}

TEST(Records, TwoRunsDoNotShareAFile) {
    const std::string path = scratch("shared.jsonl");
    const record_store first(path);
    try {
        const record_store second(path);
        FAIL() << "opened twice";
    } catch (const failure & error) {
        EXPECT_NE(std::string(error.what()).find("another trianglemix is writing to " + path), std::string::npos);
    }
}

TEST(Records, KeysNameAllThatValuesDependOn) {
    profile_settings settings;
    probe_prompt prompt;
    prompt.key = "p";
    const auto gradient = [&] { return record_keys(settings, "model", "avx2").gradient(prompt); };
    const auto effect = [&] { return record_keys(settings, "model", "avx2").effect(prompt, "0-3"); };
    const std::string first_gradient = gradient();
    const std::string first_effect = effect();
    EXPECT_NE(first_effect, record_keys(settings, "model", "avx2").effect(prompt, "0-4"));
    EXPECT_NE(first_gradient, record_keys(settings, "model", "avx3").gradient(prompt));
    EXPECT_NE(first_gradient, record_keys(settings, "other", "avx2").gradient(prompt));
    const auto changes = [&](auto change, bool both) {
        const profile_settings before = settings;
        change();
        EXPECT_NE(effect(), first_effect);
        EXPECT_EQ(gradient() != first_gradient, both);
        settings = before;
    };
    changes([&] { settings.n_threads = 7; }, true);
    changes([&] { settings.shape.n_last = 7; }, true);
    changes([&] { settings.device = settings.device_description = "TriangleMix0 (a GPU)"; }, true);
    changes([&] { settings.n_ubatch = 512; }, false);
    changes([&] { settings.precision = "fast"; }, false);
    changes([&] { settings.n_following = 7; }, false);
    EXPECT_EQ(gradient(), first_gradient);
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

TEST(Data, TokensAreWholeNumbers) {
    for (const char * bad : {"17.5", "true", "-1", "1099511627776", "null", "[1]", "1e3"}) {
        const std::string in_ids = data_error(std::string("{\"ids\": [1]}\n{\"ids\": [1, ") + bad + "]}\n");
        EXPECT_NE(in_ids.find("line 2"), std::string::npos) << in_ids;
        EXPECT_NE(in_ids.find("no token id"), std::string::npos) << in_ids;
        const std::string as_target = data_error(std::string("{\"ids\": [1], \"target\": ") + bad + "}\n");
        EXPECT_NE(as_target.find("no token id"), std::string::npos) << as_target;
    }
    EXPECT_NE(data_error("{\"ids\": []}\n").find("needs a list"), std::string::npos);
    EXPECT_NE(data_error("{\"prompt\": \"a\", \"ids\": []}\n").find("needs a list"), std::string::npos);
    EXPECT_NE(data_error("{\"prompt\": \"a\", \"target\": \"\"}\n").find("empty text"), std::string::npos);
    EXPECT_EQ(data_error("{\"ids\": [0, 2147483647]}\n"), "accepted");
}

class PromptCheck : public ::testing::Test {
  protected:
    static constexpr int64_t k_trained = 1000;
    profile_settings settings;
    std::vector<prompt_size> prompts = {{"a", 20, false}, {"b", 40, false}, {"c", 40, true}};

    void SetUp() override {
        settings.shape = {4, 10, 6};
        settings.n_following = 16;
    }
    std::string refusal() const {
        try {
            static_cast<void>(check_prompts(prompts, settings, k_trained));
        } catch (const failure & error) {
            return error.what();
        }
        return "accepted";
    }
    void expect(const char * text) const {
        EXPECT_NE(refusal().find(text), std::string::npos) << "'" << refusal() << "' lacks '" << text << "'";
    }
};

TEST_F(PromptCheck, APromptThatTellsNothingIsNoted) {
    const std::vector<std::string> notes = check_prompts(prompts, settings, k_trained);
    ASSERT_EQ(notes.size(), 1U);
    EXPECT_EQ(notes[0], "a has 20 tokens, within sink + window + last: it tells nothing");
    prompts[0].n_tokens = 21;  // one pair
    EXPECT_TRUE(check_prompts(prompts, settings, k_trained).empty());
}

TEST_F(PromptCheck, NoPromptThatTellsAnythingIsRefused) {
    prompts[1].n_tokens = 20;
    expect("any of the 2 prompts that choose");
    expect("sink + window + last are 20");
    prompts[1].n_tokens = 40;
    prompts[2].n_tokens = 20;
    expect("any of the 1 prompts that check the choice");
}

TEST_F(PromptCheck, ABudgetAndYardsticksNeedPromptsThatCheck) {
    prompts.pop_back();
    EXPECT_EQ(refusal(), "accepted");
    settings.yardsticks = true;
    expect("--yardsticks needs prompts that are kept back");
    settings.how = choose_by::kl_budget;
    expect("--kl-budget needs prompts that are kept back");
}

TEST_F(PromptCheck, EveryPromptMustFitTheContext) {
    prompts[2].n_tokens = k_trained - settings.n_following - 1;
    EXPECT_EQ(refusal(), "accepted");
    prompts[2].n_tokens += 1;
    expect("c: 984 tokens and 16 following ones are more than the 1000 that the model was trained for");
    settings.n_ctx = 2000;
    EXPECT_EQ(refusal(), "accepted");
    EXPECT_NE(check_prompts(prompts, settings, k_trained).back().find("longer than the 1000"), std::string::npos);
    settings.n_ctx = 50;
    expect("more than the 50 of --ctx");
}

TEST_F(PromptCheck, DefaultLengthsReachTowardsTheContext) {
    profile_settings s;
    s.n_following = 16;
    using lengths = std::vector<int64_t>;
    EXPECT_EQ(default_lengths(s, 8192), (lengths{4032, 8064}));
    EXPECT_EQ(default_lengths(s, 131072), (lengths{4096, 8192})) << "no longer than half an hour or so allows";
    EXPECT_EQ(default_lengths(s, 2048), (lengths{960, 1920}));
    EXPECT_EQ(default_lengths(s, 1024), (lengths{1007})) << "half of it has no middle pairs";
    s.n_ctx = 4096;
    EXPECT_EQ(default_lengths(s, 131072), (lengths{1984, 3968}));
    s.n_ctx = 0;
    s.quick = true;
    EXPECT_EQ(default_lengths(s, 131072), (lengths{2048}));
    EXPECT_EQ(default_lengths(s, 1024), (lengths{1007}));
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

TEST(PromptList, QuestionsAboutOneContextStandTogether) {
    prompt_settings settings;
    settings.kinds = {prompt_kind::kv, prompt_kind::needle};
    settings.lengths = {100, 200};
    settings.samples = 2;
    settings.check_samples = 1;
    settings.questions = 3;
    settings.data.resize(1);
    const std::vector<prompt_spec> specs = list_prompts(settings);
    ASSERT_EQ(specs.size(), 2U * 2 * (2 + 1) * 3 + 1);
    for (size_t i = 0; i < specs.size(); ++i) {
        if (specs[i].question > 0) {
            EXPECT_EQ(specs[i].question, specs[i - 1].question + 1);
            EXPECT_EQ(specs[i].kind, specs[i - 1].kind);
            EXPECT_EQ(specs[i].length, specs[i - 1].length);
        }
    }
    EXPECT_EQ(specs[0].name(), "kv 100 #0");
    EXPECT_EQ(specs[2].name(), "kv 100 #0, question 3");
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
    // A layer that sees ten tokens computes 10 * 11 / 2 + 30 * 10 pairs, as a triangle layer, too.
    p.layers.assign(2, {});
    p.layers[0].kind = p.layers[1].kind = layer_kind::triangle;
    const double windowed = 10 * 11 / 2 + 30 * 10;
    EXPECT_DOUBLE_EQ(pairs_kept(p, 40, std::vector<int32_t>{10, 0}),
                     (windowed + 820 * (1 - skipped)) / (windowed + 820));
}

TEST(Plans, AnyNameOfAModelBecomesOneThatAPlanMayHold) {
    EXPECT_EQ(plan_name_of("SmolLM2 135M"), "SmolLM2 135M");
    EXPECT_EQ(plan_name_of(""), "");
    EXPECT_EQ(plan_name_of("a\nb\x7f"), "ab");
    EXPECT_EQ(plan_name_of("a\xff"), "a\xef\xbf\xbd");
    std::string odd(99, 'x');
    odd += "\xc3\xa9";  // its second byte would be the 101st
    EXPECT_EQ(plan_name_of(odd), std::string(99, 'x'));
    plan p;
    p.layers.resize(1);
    p.name = plan_name_of(std::string(300, '\xff'));
    EXPECT_TRUE(parse_plan(write_plan(p)).ok());
}

}  // namespace
}  // namespace tmx::test
