// What is said of a plan that fits a model's shape and not its name, and of plans given as texts; tests/cli has the
// rest.
#include <gtest/gtest.h>

#include "identity/choose_plan.h"

namespace tmx::test {
namespace {

model_identity a_mistral() {
    model_identity model;
    model.name = "Mistral 7B Instruct";
    model.architecture = "llama";
    model.n_layer = 32;
    model.n_head = 32;
    model.n_head_kv = 8;
    model.d_head = 128;
    return model;
}

TEST(PlanChoice, APresetOfAnotherModelOfTheSameShapeIsSaid) {
    plan_options options;
    options.reference = "preset:llama-3.1-8b-instruct";
    const parsed<chosen_plan> other = plan_for_model(options, a_mistral(), false);
    ASSERT_TRUE(other.ok()) << other.error;
    EXPECT_TRUE(other.value.sparse);
    EXPECT_NE(other.value.note.find("calls itself 'Mistral 7B Instruct'"), std::string::npos) << other.value.note;
    model_identity own = a_mistral();
    own.name = "Meta Llama 3.1 8B Instruct";
    EXPECT_EQ(plan_for_model(options, own, false).value.note, "");
    own.name = "";
    EXPECT_EQ(plan_for_model(options, own, false).value.note, "") << "nothing is known";
    own.n_layer = 30;
    EXPECT_NE(plan_for_model(options, own, false).error.find("the model has 30"), std::string::npos);
}

TEST(PlanChoice, APlanMayBeGivenAsText) {
    plan_options options;
    options.text = find_preset("llama-3.1-8b-instruct")->json_text;
    const parsed<chosen_plan> chosen = plan_for_model(options, a_mistral(), false);
    ASSERT_TRUE(chosen.ok()) << chosen.error;
    EXPECT_EQ(chosen.value.layers(), "16 of 32 layers triangle: 16-31");
    EXPECT_EQ(model_of_plan(options).value.n_layer, 32);
    options.text = "{}";
    EXPECT_NE(plan_for_model(options, a_mistral(), false).error, "");
    EXPECT_NE(model_of_plan({}).error.find("name the file, or a plan"), std::string::npos);
}

}  // namespace
}  // namespace tmx::test
