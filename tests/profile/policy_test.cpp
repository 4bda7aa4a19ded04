// What a command's user left open, and what is made of it.
#include <gtest/gtest.h>

#include <fstream>

#include "profile/policy.h"
#include "profile/unit_set.h"
#include "tiny_gguf.h"

namespace tmx::test {
namespace {

const probe_verdict k_computed{true, "", ""};
const probe_verdict k_other_model{false, "the probe knows no gemma", "no gemma here; --method ablation takes it"};
const probe_verdict k_broken{false, "", "the file is cut short"};

std::string refusal_of(const asked_method & asked, const probe_verdict & probe) {
    try {
        static_cast<void>(settle_method(asked, probe));
    } catch (const contradiction & error) {
        return std::string("contradiction: ") + error.what();
    } catch (const failure & error) {
        return error.what();
    }
    return "accepted";
}

TEST(Method, GradientsWhereTheProbeComputesThem) {
    const settled_method m = settle_method({}, k_computed);
    EXPECT_TRUE(m.gradient);
    EXPECT_FALSE(m.ablation);
    EXPECT_EQ(m.score, "contribution");
    EXPECT_TRUE(m.notes.empty());
}

TEST(Method, AblationOfAModelThatTheProbeDoesNotCompute) {
    const settled_method m = settle_method({}, k_other_model);
    EXPECT_FALSE(m.gradient);
    EXPECT_TRUE(m.ablation);
    EXPECT_EQ(m.ablate_in, ablation_place::llama_cpp);
    EXPECT_EQ(m.score, "ablation");
    ASSERT_EQ(m.notes.size(), 1U);
    EXPECT_EQ(m.notes[0],
              "the probe knows no gemma, so there are no gradients: each layer alone is measured in llama.cpp");
    // Not in silence, where gradients were asked for, nor where the file is no model at all.
    EXPECT_EQ(refusal_of({"", "", "mass", false}, k_other_model), k_other_model.refusal);
    EXPECT_EQ(refusal_of({"gradient", "", "", false}, k_other_model), k_other_model.refusal);
    EXPECT_EQ(refusal_of({}, k_broken), k_broken.refusal);
}

TEST(Method, AGivenSetNeedsNone) {
    const settled_method m = settle_method({"", "", "", true}, k_broken);
    EXPECT_FALSE(m.gradient);
    EXPECT_FALSE(m.ablation);
    EXPECT_TRUE(settle_method({"both", "", "", true}, k_computed).gradient);
}

TEST(Method, AblationIsInTheProbeWhereThatComputesTheFile) {
    const settled_method m = settle_method({"both", "", "", false}, k_computed);
    EXPECT_TRUE(m.gradient && m.ablation);
    EXPECT_EQ(m.ablate_in, ablation_place::probe);
    EXPECT_EQ(m.score, "ablation");
    EXPECT_EQ(settle_method({"ablation", "llama.cpp", "", false}, k_computed).ablate_in, ablation_place::llama_cpp);
    const settled_method other = settle_method({"ablation", "", "", false}, k_broken);
    EXPECT_EQ(other.ablate_in, ablation_place::llama_cpp);
    ASSERT_EQ(other.notes.size(), 1U);
    EXPECT_NE(other.notes[0].find("whole prefill in llama.cpp"), std::string::npos);
    EXPECT_TRUE(settle_method({"ablation", "llama.cpp", "", false}, k_broken).notes.empty());
    EXPECT_EQ(refusal_of({"ablation", "probe", "", false}, k_broken), k_broken.refusal);
}

TEST(Method, ContradictionsAreRefused) {
    EXPECT_EQ(refusal_of({"gradient", "probe", "", false}, k_computed),
              "contradiction: --ablate-in needs --method ablation or both");
    EXPECT_EQ(refusal_of({"", "", "ablation", false}, k_computed),
              "contradiction: layers cannot be ordered by 'ablation', which --method gradient does not measure");
    EXPECT_EQ(refusal_of({"ablation", "", "mass", false}, k_computed),
              "contradiction: layers cannot be ordered by 'mass', which --method ablation does not measure");
    EXPECT_EQ(refusal_of({"", "", "ablation", true}, k_computed), "accepted") << "nothing is ordered";
}

TEST(Method, TheProbeIsAskedForTheFileItself) {
    const tiny_model model = make_tiny_model({}, 1);
    EXPECT_TRUE(ask_probe(write_tiny_gguf(model, "policy")).computes);
    const probe_verdict other = ask_probe(write_tiny_gguf(model, "policy_gemma", {"", "", "gemma3"}));
    EXPECT_FALSE(other.computes);
    EXPECT_NE(other.reason.find("gemma3"), std::string::npos) << other.reason;
    EXPECT_NE(other.refusal.find("--method ablation"), std::string::npos) << other.refusal;
    const std::string text = ::testing::TempDir() + "tmx_policy.txt";
    std::ofstream(text) << "no model\n";
    const probe_verdict none = ask_probe(text);
    EXPECT_FALSE(none.computes);
    EXPECT_EQ(none.reason, "");
    EXPECT_NE(none.refusal, "");
}

TEST(Method, WhatUsesTheProbe) {
    profile_settings s;
    s.gradient = true;
    EXPECT_TRUE(uses_probe(s));
    s.gradient = false;
    EXPECT_FALSE(uses_probe(s));
    s.ablation = true;
    EXPECT_FALSE(uses_probe(s));
    s.ablate_in = ablation_place::probe;
    EXPECT_TRUE(uses_probe(s));
}

TEST(Size, ABudgetUnlessSaid) {
    const settled_size open = settle_size({}, 1);
    EXPECT_EQ(open.how, choose_by::kl_budget);
    EXPECT_EQ(open.value, 0.01);
    EXPECT_EQ(settle_size({false, {}, {}, 0.5}, 1).value, 0.5);
    EXPECT_EQ(settle_size({false, 3, {}, {}}, 0).how, choose_by::count);
    EXPECT_EQ(settle_size({false, 3, {}, {}}, 0).value, 3);
    EXPECT_EQ(settle_size({false, {}, 0.25, {}}, 0).how, choose_by::threshold);
    EXPECT_EQ(settle_size({true, {}, {}, {}}, 0).how, choose_by::given);
    EXPECT_THROW(static_cast<void>(settle_size({}, 0)), contradiction) << "nothing checks it";
}

TEST(Prompts, DefaultsFillWhatIsOpen) {
    prompt_settings asked;
    prompt_settings settled = settle_prompts(asked, {}, {}, false);
    EXPECT_EQ(settled.kinds.size(), std::size(k_all_kinds));
    EXPECT_EQ(settled.samples, 2);
    EXPECT_EQ(settled.check_samples, 1);
    EXPECT_EQ(settle_prompts(asked, {}, {}, true).samples, 1);
    EXPECT_EQ(settle_prompts(asked, 7, 0, true).samples, 7);
    EXPECT_EQ(settle_prompts(asked, 7, 0, true).check_samples, 0);
    asked.data.resize(3);
    EXPECT_TRUE(settle_prompts(asked, {}, {}, false).kinds.empty()) << "own prompts take the place of made ones";
    asked.kinds = {prompt_kind::doc};
    EXPECT_EQ(settle_prompts(asked, {}, {}, false).kinds.size(), 1U);
}

TEST(Prompts, LengthsThatWereGivenMustFit) {
    profile_settings s;
    s.prompts.kinds = {prompt_kind::kv};
    EXPECT_EQ(settle_lengths(s, 8192), (std::vector<int64_t>{4032, 8064}));
    s.prompts.lengths = {100, 300};
    EXPECT_EQ(settle_lengths(s, 8192), s.prompts.lengths);
    EXPECT_THROW(static_cast<void>(settle_lengths(s, 256)), failure);
    s.prompts.kinds.clear();
    EXPECT_EQ(settle_lengths(s, 256), s.prompts.lengths) << "no prompt is made";
}

class Set : public ::testing::Test {
  protected:
    profile_settings settings;
    model_facts facts;

    void SetUp() override {
        facts.n_layer = 4;
        facts.n_head = 2;
        facts.n_head_kv = 1;
        facts.d_head = 64;
    }
    std::string count_refusal() const {
        try {
            check_count(settings, facts);
        } catch (const failure & error) {
            return error.what();
        }
        return "accepted";
    }
};

TEST_F(Set, AGivenOneIsCounted) {
    settings.how = choose_by::given;
    EXPECT_EQ(settle_set(settings, "1-3", facts), "");
    EXPECT_EQ(settings.given, (std::vector<int32_t>{1, 2, 3}));
    EXPECT_EQ(settings.value, 3);
    EXPECT_THROW(static_cast<void>(settle_set(settings, "4", facts)), failure);
}

TEST_F(Set, LayersWithWindowsLeaveIt) {
    facts.windows = {16, 16, 16, 0};
    settings.how = choose_by::given;
    EXPECT_NE(settle_set(settings, "2-3", facts).find("layers 2 see the latest 16 tokens only"), std::string::npos);
    EXPECT_EQ(settings.given, std::vector<int32_t>{3});
    EXPECT_EQ(settings.value, 1);
    EXPECT_THROW(static_cast<void>(settle_set(settings, "0-1", facts)), failure) << "none is left";
    settings = {};
    EXPECT_NE(settle_set(settings, "", facts).find("layers 0-2 see"), std::string::npos);
    EXPECT_TRUE(settings.given.empty());
}

TEST_F(Set, NoMoreThanThereAre) {
    settings.how = choose_by::count;
    settings.value = 4;
    EXPECT_EQ(count_refusal(), "accepted");
    settings.value = 5;
    EXPECT_EQ(count_refusal(), "--select 5: the model has 4 layers");
    settings.per_head = true;
    EXPECT_EQ(count_refusal(), "accepted");
    facts.windows = {16, 16, 16, 0};
    EXPECT_EQ(count_refusal(), "--select 5: the model has 2 heads that see the whole prompt");
}

TEST(Environment, ShortPromptsAreComputedByThePlanAndFactorsAreWhole) {
    const auto names_of = [](const std::vector<environment_variable> & variables) {
        std::string names;
        for (const environment_variable & each : variables) {
            names += each.name + "=" + each.value + " ";
        }
        return names;
    };
    EXPECT_EQ(names_of(measuring_environment("", true)), "TRIANGLEMIX_MIN_KEYS=1 ");
    EXPECT_EQ(names_of(measuring_environment("TriangleMix0", false)), "TRIANGLEMIX_MIN_KEYS=1 ");
    EXPECT_EQ(names_of(measuring_environment("TriangleMix0", true)), "TRIANGLEMIX_MIN_KEYS=1 NVIDIA_TF32_OVERRIDE=0 ");
}

}  // namespace
}  // namespace tmx::test
