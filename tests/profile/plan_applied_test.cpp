// A set that the backend computed exactly instead is no measurement: its KL of 0 would make it the most harmless.
#include <gtest/gtest.h>

#include "probe/section_sums.h"
#include "profile/plan_applied.h"

namespace tmx::test {
namespace {

const model_shape k_applied_model{"llama", 4, 6, 2, 64};
const triangle_shape k_shape{3, 9, 5};
constexpr int64_t k_tokens = 40;

class PlanApplied : public ::testing::Test {
  protected:
    std::vector<unit> layers = {{1}, {3}};
    backend_statistics s;
    double middle = static_cast<double>(section_pairs(k_shape, k_tokens)[index_of(section::middle)]);

    void SetUp() override { s.pairs_skipped = 2 * 6 * middle; }
    std::string problem() const { return why_not_applied(s, layers, k_applied_model, k_shape, k_tokens); }
    void expect(const char * text) const {
        EXPECT_NE(problem().find(text), std::string::npos) << "'" << problem() << "' lacks '" << text << "'";
    }
};

TEST_F(PlanApplied, EveryPairSkippedIsGood) {
    EXPECT_EQ(problem(), "");
    layers = {{2, 0}, {2, 5}, {3, 1}};
    s.pairs_skipped = 3 * middle;
    EXPECT_EQ(problem(), "");
    // Nodes of other layers that a GPU keeps, and questions that were answered no, are no fault of the plan.
    s.passed_on["rows"] = 1;
    s.declined = {"rows"};
    EXPECT_EQ(problem(), "");
}

TEST_F(PlanApplied, OneLayerComputedExactlyIsNamedWithItsReason) {
    s.pairs_skipped = 6 * middle;
    s.passed_on["keys"] = 1;
    expect("1,3");
    expect("left to the GPU's own backend: keys");
    expect("TRIANGLEMIX_MIN_KEYS=1");
}

TEST_F(PlanApplied, NothingComputedByTheBackend) {
    s.pairs_skipped = 0;
    s.declined = {"dims", "rows"};
    expect("not claimed: dims, rows");
    expect("40 tokens (0 of");
    s.n_whole_graphs = 1;
    expect("left to the GPU's own backend: whole evaluations");
}

TEST_F(PlanApplied, OtherArithmeticThanAskedIsNamed) {
    s.fallbacks["fast_unsupported"] = 2;
    expect("computed exactly instead: fast_unsupported");
    s.plan_refused = "plan is for 32 layers, the model has 30";
    expect("the plan was refused: plan is for 32 layers");
}

}  // namespace
}  // namespace tmx::test
