// How much device memory the CUDA kernels take for themselves: the arithmetic, which needs no device.
#include <gtest/gtest.h>

#include "kernels/cuda/scratch_growth.h"
#include "trianglemix/cuda_attention.h"

namespace tmx {
namespace {

using cuda::grow_scratch;

TEST(cuda_scratch_limit, is_a_share_of_what_is_free_and_a_bound) {
    const cuda_scratch_limit limit{.most_bytes = 1000, .share = 4};
    EXPECT_EQ(limit.allows(2000, 0), 500);
    EXPECT_EQ(limit.allows(1600, 400), 500) << "what is held counts as free";
    EXPECT_EQ(limit.allows(9000, 400), 1000);
    EXPECT_EQ(limit.allows(0, 0), 0);
    EXPECT_EQ(cuda_scratch_limit{}.allows(5000, 100), 5100) << "without a limit";
}

TEST(scratch_growth, by_half_at_least) {
    EXPECT_EQ(grow_scratch(0, 100, 0, 1000).bytes, 100);
    EXPECT_EQ(grow_scratch(100, 110, 0, 1000).bytes, 150);
    EXPECT_EQ(grow_scratch(100, 200, 0, 1000).bytes, 200);
    EXPECT_FALSE(grow_scratch(100, 200, 0, 1000).waits);
}

TEST(scratch_growth, never_above_what_is_allowed) {
    EXPECT_EQ(grow_scratch(400, 500, 100, 700).bytes, 600) << "half more would be 600";
    EXPECT_EQ(grow_scratch(400, 500, 100, 650).bytes, 550);
    EXPECT_EQ(grow_scratch(400, 500, 100, 600).bytes, 500);
    EXPECT_EQ(grow_scratch(400, 500, 100, 599).bytes, 0);
    EXPECT_EQ(grow_scratch(0, 1, 0, -5).bytes, 0) << "others hold more than all";
}

TEST(scratch_growth, old_and_new_count_while_both_are_there) {
    EXPECT_FALSE(grow_scratch(100, 200, 50, 350).waits);
    EXPECT_TRUE(grow_scratch(100, 200, 50, 349).waits);
    EXPECT_FALSE(grow_scratch(0, 200, 50, 250).waits);
}

}  // namespace
}  // namespace tmx
