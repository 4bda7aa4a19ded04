// Rows whose position is not simply one number in the graph: several a row, or none.
#include "backend/runs/row_positions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "backend/runs/find_runs.h"
#include "fake_cache.h"

namespace tmx::test {
namespace {

TEST(text_positions, sections_that_agree_are_text) {
    const std::vector<int32_t> sections = {4, 5, 6, 7,   // time
                                           4, 5, 8, 7,   // height
                                           4, 5, 6, 9,   // width
                                           0, 0, 1, 2};  // not used
    const std::vector<int32_t> positions = text_positions(sections.data(), 4, 4);
    EXPECT_EQ(positions[0], 4);
    EXPECT_EQ(positions[1], 5);
    for (const size_t image : {2, 3}) {
        ASSERT_LT(positions[image], 0);
        EXPECT_EQ(reason_of(positions[image]), mask_reason::positions_2d);
    }
    EXPECT_EQ(reason_of(-1), mask_reason::cell_range);
    EXPECT_EQ(reason_of(-7), mask_reason::cell_range);
}

// Ubatches that come without positions, which the cache knows.
class rank_test : public testing::Test {
  protected:
    fake_ubatch add(const std::vector<std::pair<int32_t, int>> & users) {
        std::vector<fake_row> rows;
        for (const auto & [user, n] : users) {
            rows.insert(rows.end(), static_cast<size_t>(n), {user, false});
        }
        fake_ubatch ubatch = cache_.add(rows);
        ubatch.has_positions = false;
        return ubatch;
    }

    // As with positions, and the same from samples.
    void expect_all_planned(const fake_ubatch & ubatch) {
        fake_ubatch told = ubatch;
        told.has_positions = true;
        cell_table other = table_;
        cell_table sampling = table_;
        const ubatch_runs expected = learn_and_find(told.view(), other, cache_.keys(), 1);
        const std::optional<ubatch_runs> sampled = find_runs_sampled(ubatch.view(), sampling, cache_.keys());
        const ubatch_runs found = learn_and_find(ubatch.view(), table_, cache_.keys(), 1);
        EXPECT_TRUE(found.masked.empty());
        EXPECT_EQ(found.runs, expected.runs);
        ASSERT_TRUE(sampled);
        EXPECT_EQ(sampled->runs, expected.runs);
        EXPECT_TRUE(in_true_order(cache_, found));
    }

    // None of the rows [begin, ubatch.n_rows) is in a run; those before are.
    void expect_masked_from(const fake_ubatch & ubatch, int64_t begin, mask_reason reason) {
        const ubatch_runs found = learn_and_find(ubatch.view(), table_, cache_.keys(), 1);
        expect_exact_cover(ubatch, found);
        ASSERT_EQ(found.masked.size(), 1u);
        EXPECT_EQ(found.masked[0].row_begin, begin);
        EXPECT_EQ(found.masked[0].row_end, ubatch.n_rows);
        EXPECT_EQ(found.masked[0].reason, reason) << to_string(found.masked[0].reason);
        int64_t visible = 0;
        for (int64_t row = begin; row < ubatch.n_rows; ++row) {
            for (int64_t cell = 0; cell < ubatch.n_kv; ++cell) {
                visible += ubatch.mask[static_cast<size_t>(row * ubatch.n_kv + cell)] != ubatch_view::k_hidden;
            }
        }
        EXPECT_EQ(found.masked[0].n_visible, visible);
    }

    fake_cache cache_{256};
    cell_table table_;
};

TEST_F(rank_test, prompts_in_chunks_and_decode_rows_of_several_users) {
    expect_all_planned(add({{0, 30}}));
    expect_all_planned(add({{0, 1}, {1, 20}, {2, 9}}));
    expect_all_planned(add({{1, 1}, {2, 12}, {0, 1}}));
    cache_.remove(1);
    expect_all_planned(add({{2, 1}, {3, 40}, {0, 5}}));
    expect_all_planned(add({{0, 1}, {3, 1}, {0, 1}, {3, 1}}));
}

TEST_F(rank_test, a_busy_server) {
    uint32_t state = 3;
    const auto random = [&](uint32_t below) { return (state = state * 1664525u + 1013904223u) / 65536u % below; };
    for (int step = 0; step < 150; ++step) {
        std::vector<std::pair<int32_t, int>> users;
        for (int32_t user = 0; user < 4; ++user) {
            if (cache_.length(user) > 40 && random(3) == 0) {
                cache_.remove(user, static_cast<int32_t>(random(2) * random(40)));
            }
            const int n = random(3) == 0 ? static_cast<int>(random(15)) + 1 : 1;
            users.emplace_back(user, cache_.length(user) + n < 60 ? n : 0);
        }
        const fake_ubatch ubatch = add(users);
        const ubatch_runs found = learn_and_find(ubatch.view(), table_, cache_.keys(), 1);
        expect_exact_cover(ubatch, found);
        EXPECT_TRUE(found.masked.empty()) << "step " << step;
        EXPECT_TRUE(in_true_order(cache_, found)) << "step " << step;
    }
}

TEST_F(rank_test, a_window_shows_where_it_drops_a_key) {
    fake_ubatch ubatch = add({{0, 40}});
    ubatch.hide_beyond(16);
    expect_masked_from(ubatch, 16, mask_reason::visible_count);
}

TEST_F(rank_test, a_window_that_dropped_keys_before_is_not_taken_for_a_start) {
    learn_and_find(add({{0, 40}}).view(), table_, cache_.keys(), 1);
    fake_ubatch next = add({{0, 10}});
    for (int64_t row = 0; row < 10; ++row) {
        for (int64_t cell = 0; cell < 30 + row; ++cell) {
            next.mask_at(row, cell) = ubatch_view::k_hidden;
        }
    }
    expect_masked_from(next, 0, mask_reason::no_inputs);
}

TEST_F(rank_test, non_causal_rows_are_uncertain) {
    fake_ubatch ubatch = add({{0, 20}});
    for (int64_t row = 0; row < 20; ++row) {
        for (int64_t cell = 0; cell < 20; ++cell) {
            ubatch.mask_at(row, cell) = ubatch_view::k_visible;
        }
    }
    expect_masked_from(ubatch, 0, mask_reason::no_inputs);
}

TEST_F(rank_test, other_values_are_said_to_be_that) {
    fake_ubatch ubatch = add({{0, 20}});
    for (int64_t row = 0; row < 20; ++row) {
        for (int64_t cell = 0; cell < row; ++cell) {
            ubatch.mask_at(row, cell) = 0xbc00;  // -1
        }
    }
    expect_masked_from(ubatch, 1, mask_reason::mask_values);
}

TEST_F(rank_test, keys_that_nobody_saw_make_a_rank_uncertain) {
    add({{0, 30}});  // not shown to the table: decoded, or restored
    expect_masked_from(add({{0, 10}}), 0, mask_reason::no_inputs);
    expect_masked_from(add({{0, 10}}), 0, mask_reason::no_inputs);
    cache_.remove(0);
    expect_all_planned(add({{0, 10}}));
}

TEST_F(rank_test, removed_keys_leave_a_gap) {
    learn_and_find(add({{0, 40}}).view(), table_, cache_.keys(), 1);
    fake_ubatch next = add({{0, 10}});
    for (int64_t row = 0; row < 10; ++row) {
        next.mask_at(row, 7) = ubatch_view::k_hidden;
    }
    expect_masked_from(next, 0, mask_reason::no_inputs);
}

// On a GPU nothing tells that a key was overwritten but the ubatch that does it.
TEST_F(rank_test, what_is_overwritten_without_a_rank_is_forgotten) {
    const fake_ubatch first = add({{0, 10}});
    learn_and_find(first.view(), table_, {}, 1);
    EXPECT_EQ(table_.position(first.own_cells[3], {}), 3);
    fake_ubatch second = first;
    std::fill(second.mask.begin(), second.mask.end(), ubatch_view::k_visible);
    EXPECT_TRUE(learn_and_find(second.view(), table_, {}, 1).runs.empty());
    EXPECT_EQ(table_.position(first.own_cells[3], {}), -1);
}

}  // namespace
}  // namespace tmx::test
