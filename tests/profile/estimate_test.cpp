// How long a run is said to take.
#include <gtest/gtest.h>

#include "measure/stage_clock.h"
#include "profile/run_estimate.h"

namespace tmx::test {
namespace {

TEST(RunEstimate, ATimedStepStandsForAllKindsUntilTheyAreSeen) {
    run_estimate estimate;
    estimate.expect(work_kind::gradient, 100);
    estimate.expect(work_kind::prefill, 1000);
    EXPECT_LT(estimate.seconds_left(work_kind::prefill, 0), 0) << "no speed is known";
    EXPECT_DOUBLE_EQ(estimate.expected(), 1000 + 8 * 100);
    estimate.learn(work_kind::prefill, 10, 1);  // 0.1 s a weight
    EXPECT_DOUBLE_EQ(estimate.seconds_left(work_kind::prefill, 0), 100 + 80);
    // The gradients turn out slower; the prefills ahead stay as they were timed.
    estimate.begin(work_kind::gradient, 100);
    EXPECT_DOUBLE_EQ(estimate.seconds_left(work_kind::gradient, 100), 100 + 80);
    estimate.learn(work_kind::gradient, 25, 50);
    EXPECT_DOUBLE_EQ(estimate.seconds_left(work_kind::gradient, 75), 150 + 100);
    estimate.learn(work_kind::gradient, 100, 150);
    EXPECT_DOUBLE_EQ(estimate.seconds_left(work_kind::gradient, 0), 100);
    // Stages of one kind are averaged with the timed step.
    estimate.begin(work_kind::prefill, 500);
    estimate.learn(work_kind::prefill, 490, 99);
    EXPECT_DOUBLE_EQ(estimate.seconds_left(work_kind::prefill, 10), 510 * 0.2);
    // More stages than were foreseen count when they begin.
    estimate.begin(work_kind::prefill, 500);
    estimate.begin(work_kind::prefill, 500);
    EXPECT_DOUBLE_EQ(estimate.seconds_left(work_kind::prefill, 500), 500 * 0.2);
}

TEST(StageClock, TellsItsWeights) {
    std::vector<run_progress> told;
    const progress_sink sink = [&](const run_progress & p) { told.push_back(p); };
    stage_clock clock("stage", 8, sink);
    clock.begin("one", 6);
    clock.within(0.5);
    clock.end("done");
    ASSERT_EQ(told.size(), 3U);
    EXPECT_EQ(told[1].weight_done, 3);
    EXPECT_EQ(told[1].weight_left, 5);
    EXPECT_EQ(told[2].weight_done, 6);
    EXPECT_GE(told[2].seconds, 0);
}

}  // namespace
}  // namespace tmx::test
