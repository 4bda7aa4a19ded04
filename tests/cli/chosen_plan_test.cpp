// Which plan the program takes, and what it says of it: presets by name, options, the environment of `serve`, notes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "cli/commands/serve_plan.h"
#include "cli/options.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

TEST(Presets, AreRecognisedByTheModelsName) {
    EXPECT_TRUE(preset_names_model("smollm2-135m-instruct", "Smollm2 135M 8k Lc100K Mix1 Ep2"));
    EXPECT_TRUE(preset_names_model("qwen2.5-coder-1.5b-instruct", "Qwen2.5 Coder 1.5B Instruct GGUF"));
    EXPECT_TRUE(preset_names_model("qwen2.5-coder-0.5b-instruct", "Qwen2.5 Coder 0.5B Instruct AWQ"));
    EXPECT_FALSE(preset_names_model("qwen2.5-coder-1.5b-instruct", "Qwen2.5 1.5B Instruct"));
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
    EXPECT_FALSE(other.sparse);
    EXPECT_NE(other.note.find("preset:NAME"), std::string::npos) << other.note;
    EXPECT_NE(other.note.find("smollm2-135m-instruct"), std::string::npos) << other.note;
    facts.name = "SmolLM2 135M Instruct";
    const chosen_plan own = choose_plan({}, facts, true);
    EXPECT_TRUE(own.sparse);
    EXPECT_EQ(own.source, "preset:smollm2-135m-instruct");
    EXPECT_EQ(own.value.tail, tail_policy::prompt);
    EXPECT_NE(choose_plan({}, facts, false).value.tail, tail_policy::prompt);
    facts.n_layer = 31;
    const chosen_plan none = choose_plan({}, facts, true);
    EXPECT_FALSE(none.sparse);
    EXPECT_NE(none.note.find("trianglemix profile -m"), std::string::npos) << none.note;
}

TEST(Presets, WhatWasNotMeasuredHereIsOnlyUsedByName) {
    model_facts facts;
    facts.name = "Qwen3 8B";
    facts.architecture = "qwen3";
    facts.n_layer = 36;
    facts.n_head = 32;
    facts.n_head_kv = 8;
    facts.d_head = 128;
    const chosen_plan unasked = choose_plan({}, facts, false);
    EXPECT_FALSE(unasked.sparse);
    for (const char * part :
         {"not measured by this project", "a public port", "--plan preset:qwen3-8b", "profile -m"}) {
        EXPECT_NE(unasked.note.find(part), std::string::npos) << part << ": " << unasked.note;
    }
    plan_options asked;
    asked.reference = "preset:qwen3-8b";
    const chosen_plan chosen = choose_plan(asked, facts, false);
    EXPECT_TRUE(chosen.sparse);
    EXPECT_EQ(chosen.note, "");
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

// A variable of this process, for as long as a test wants it.
class set_variable {
  public:
    set_variable(const char * name, const char * value) : name_(name) { setenv(name, value, 1); }
    ~set_variable() { unsetenv(name_); }
    set_variable(const set_variable &) = delete;
    set_variable & operator=(const set_variable &) = delete;

  private:
    const char * name_;
};

TEST(ServePlan, DynamicLayersOfTheEnvironmentAreItsPlan) {
    const set_variable dynamic("TRIANGLEMIX_DYNAMIC", "stride@0-9");
    environment env;
    EXPECT_EQ(plan_file({}, {"llama-server"}, env), nullptr);
    EXPECT_TRUE(env.set.empty() && env.unset.empty()) << "the server inherits it";
}

TEST(ServePlan, OptionsTakeThePlaceOfAllThatTheEnvironmentSays) {
    const set_variable dynamic("TRIANGLEMIX_DYNAMIC", "stride@0-9");
    const auto unsets_dynamic = [](const environment & env) {
        return std::find(env.unset.begin(), env.unset.end(), "TRIANGLEMIX_DYNAMIC") != env.unset.end();
    };
    plan_options asked;
    asked.exact = true;
    environment exact;
    EXPECT_EQ(plan_file(asked, {"llama-server"}, exact), nullptr);
    EXPECT_TRUE(unsets_dynamic(exact)) << "the server would thin its layers";
    asked.exact = false;
    asked.reference = "preset:qwen3-8b";
    environment planned;
    EXPECT_NE(plan_file(asked, {"llama-server"}, planned), nullptr);
    EXPECT_TRUE(unsets_dynamic(planned)) << "the backend refuses both together";
}

TEST(ChosenPlan, DynamicLayersTypedAsInTheEnvironment) {
    model_facts facts;
    facts.n_layer = 8;
    facts.n_head = 4;
    plan_options asked;
    asked.layers = "6-7";
    asked.dynamic = "stride:stride=3,min_tokens=4096@0-2;stride:5@6";
    const chosen_plan chosen = choose_plan(asked, facts, true);
    EXPECT_TRUE(chosen.sparse);
    EXPECT_EQ(chosen.source, "--layers 6-7 --dynamic stride:stride=3,min_tokens=4096@0-2;stride:5@6");
    EXPECT_EQ(chosen.layers(), "2 of 8 layers triangle: 6-7; 4 dynamic: 0-2,6");
    EXPECT_EQ(chosen.value.dynamic[0].min_tokens, 4096);
    EXPECT_EQ(parse_plan(write_plan(chosen.value)).value, chosen.value);
    asked.dynamic = "stride:3@8";
    EXPECT_THROW(choose_plan(asked, facts, true), failure) << "there is no such layer";
}

TEST(ServePlan, AWrongOneIsSaidBeforeTheServerStarts) {
    const set_variable dynamic("TRIANGLEMIX_DYNAMIC", "stride@9-0");
    environment env;
    EXPECT_THROW(plan_file({}, {"llama-server"}, env), failure);
}

TEST(Notes, APlanFarBeyondWhatItWasMeasuredOn) {
    plan p;
    EXPECT_EQ(length_note(p, 1 << 20, "the prompt"), "") << "nothing is recorded";
    p.provenance = R"({"measured_up_to": 7600})";
    EXPECT_EQ(length_note(p, 15200, "the prompt"), "");
    const std::string note = length_note(p, 15201, "the context");
    EXPECT_NE(note.find("up to 7600 tokens, the context is 15201"), std::string::npos) << note;
}

TEST(Notes, APromptThatThePlanSkipsNothingOf) {
    chosen_plan chosen;
    chosen.value.layers.resize(3);
    EXPECT_EQ(nothing_skipped_note(chosen, 100), "") << "exact";
    chosen.sparse = true;
    chosen.value.layers[1].kind = layer_kind::triangle;
    EXPECT_NE(nothing_skipped_note(chosen, 648).find("648 tokens are within"), std::string::npos);
    EXPECT_EQ(nothing_skipped_note(chosen, 649), "");
    chosen.value.layers[2].dynamic = 0;
    EXPECT_EQ(nothing_skipped_note(chosen, 648), "") << "what a dynamic layer skips is not known";
}

TEST(Plans, DynamicLayersAreCountedAndNamed) {
    chosen_plan chosen;
    chosen.value.layers.resize(4);
    EXPECT_EQ(chosen.n_planned(), 0);
    EXPECT_FALSE(chosen.any_dynamic());
    chosen.value.layers[3].kind = layer_kind::triangle;
    chosen.value.layers[2].dynamic = 0;
    chosen.value.layers[3].dynamic = 0;
    EXPECT_EQ(chosen.n_planned(), 2);
    EXPECT_TRUE(chosen.any_dynamic());
    EXPECT_EQ(chosen.layers(), "1 of 4 layers triangle: 3; 2 dynamic: 2-3");
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
    EXPECT_FALSE(choose_plan(options, facts, true).sparse);
    options.layers = "2";
    EXPECT_EQ(choose_plan(options, facts, true).note, "");
}

}  // namespace
}  // namespace tmx
