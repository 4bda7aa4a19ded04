// Keys that are known by what they are.
#include <gtest/gtest.h>

#include "backend/runs/cell_table.h"

namespace tmx::test {
namespace {

TEST(known_keys_test, a_key_that_stood_at_two_positions_tells_none) {
    known_keys known;
    known.remember(1, 5);
    known.remember(2, 6);
    known.remember(2, 6);
    EXPECT_EQ(known.position(1), 5);
    EXPECT_EQ(known.position(2), 6);
    EXPECT_EQ(known.position(3), -1);
    known.remember(1, 7);
    EXPECT_EQ(known.position(1), -1);
    known.remember(1, 7);
    EXPECT_EQ(known.position(1), -1);
}

TEST(known_keys_test, the_oldest_are_dropped) {
    known_keys known;
    known.remember(0, 5);
    for (uint64_t key = 1; key < known_keys::k_most + 10; ++key) {
        known.remember(key, 1);
    }
    EXPECT_EQ(known.position(0), 5) << "not yet";
    known.remember(0, 6);
    EXPECT_EQ(known.position(0), -1) << "what was seen before still contradicts";
    for (uint64_t key = 1; key < 2 * known_keys::k_most; ++key) {
        known.remember(key, 1);
    }
    EXPECT_EQ(known.position(0), -1);
}

}  // namespace
}  // namespace tmx::test
