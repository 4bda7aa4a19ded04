// Classification of ubatches on hand-made caches: what is a causal run, in which order its keys stand, and what is not.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "backend/runs/find_runs.h"
#include "backend/runs/fingerprint.h"
#include "backend/runs/mask_check.h"
#include "backend/runs/own_rows.h"
#include "fake_cache.h"

namespace tmx::test {
namespace {

class ubatch_runs_test : public testing::Test {
  protected:
    ubatch_runs classify(const fake_ubatch & ubatch, int n_threads = 2) {
        ubatch_runs found = learn_and_find(ubatch.view(), table_, cache_.keys(), n_threads);
        const std::optional<ubatch_runs> sampled = find_runs_sampled(ubatch.view(), table_, cache_.keys());
        expect_exact_cover(ubatch, found);
        expect_same_or_refused(ubatch, sampled, found);
        return found;
    }

    // Samples say nothing, or what all of the mask says, or else the whole mask contradicts them.
    static void expect_same_or_refused(const fake_ubatch & ubatch, const std::optional<ubatch_runs> & sampled,
                                       const ubatch_runs & found) {
        if (!sampled) {
            return;
        }
        bool confirmed = true;
        for (int64_t part = 0; part < 3; ++part) {
            confirmed = mask_confirms(ubatch.view(), *sampled, part, 3) && confirmed;
        }
        EXPECT_EQ(mask_confirms(ubatch.view(), *sampled), confirmed);
        EXPECT_EQ(confirmed, found.masked.empty() && found.runs == sampled->runs);
    }

    fake_cache cache_{256};
    cell_table table_;
};

std::vector<fake_row> rows_of(int32_t user, int n) {
    return std::vector<fake_row>(static_cast<size_t>(n), {user, false});
}

std::vector<fake_row> operator+(std::vector<fake_row> a, const std::vector<fake_row> & b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

TEST_F(ubatch_runs_test, one_prompt_is_one_run) {
    const ubatch_runs found = classify(cache_.add_prompt(0, 70));
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_TRUE(found.masked.empty());
    EXPECT_EQ(found.runs[0].rank_begin, 0);
    EXPECT_EQ(found.runs[0].rows(), 70);
    EXPECT_EQ(found.runs[0].key_begin, 0);
    EXPECT_TRUE(found.runs[0].cells.empty());
    EXPECT_EQ(found.runs[0].output_rows, std::vector<int64_t>{69});
}

TEST_F(ubatch_runs_test, next_chunk_goes_on_where_the_first_ended) {
    classify(cache_.add_prompt(0, 70, false));
    const ubatch_runs found = classify(cache_.add_prompt(0, 33));
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_EQ(found.runs[0].rank_begin, 70);
    EXPECT_EQ(found.runs[0].key_begin, 0);
    EXPECT_TRUE(found.runs[0].cells.empty());
    EXPECT_EQ(found.runs[0].output_rows, std::vector<int64_t>{32});
}

TEST_F(ubatch_runs_test, decode_row_whole_prompt_and_start_of_a_third) {
    classify(cache_.add_prompt(0, 20));
    const ubatch_runs found = classify(cache_.add(std::vector<fake_row>{{0, true}} + rows_of(1, 40) + rows_of(2, 25)));
    ASSERT_EQ(found.runs.size(), 3u);
    EXPECT_TRUE(found.masked.empty());
    EXPECT_EQ(found.runs[0].rank_begin, 20);
    EXPECT_EQ(found.runs[0].rows(), 1);
    EXPECT_EQ(found.runs[0].output_rows, std::vector<int64_t>{0});
    EXPECT_EQ(found.runs[1].rank_begin, 0);
    EXPECT_EQ(found.runs[1].rows(), 40);
    EXPECT_EQ(found.runs[1].key_begin, 21);
    EXPECT_TRUE(found.runs[1].output_rows.empty());
    EXPECT_EQ(found.runs[2].rows(), 25);
    EXPECT_EQ(found.runs[2].key_begin, 61);
}

TEST_F(ubatch_runs_test, positions_that_abut_do_not_join_two_users) {
    classify(cache_.add_prompt(0, 10));
    classify(cache_.add_prompt(1, 15));
    // User 0's rows are positions 10..14, user 1's go on with 15..19.
    const fake_ubatch ubatch = cache_.add(rows_of(0, 5) + rows_of(1, 5));
    EXPECT_EQ(ubatch.positions[4] + 1, ubatch.positions[5]);
    const ubatch_runs found = classify(ubatch);
    ASSERT_EQ(found.runs.size(), 2u);
    EXPECT_EQ(found.runs[0].rows(), 5);
    EXPECT_EQ(found.runs[1].rank_begin, 15);
    EXPECT_TRUE(in_true_order(cache_, found));
}

TEST_F(ubatch_runs_test, rows_of_two_users_in_turn_are_runs_of_one_row) {
    const fake_ubatch ubatch = cache_.add({{0, false}, {1, false}, {0, false}, {1, false}});
    const ubatch_runs found = classify(ubatch);
    EXPECT_EQ(found.runs.size(), 4u);
    EXPECT_TRUE(found.masked.empty());
    EXPECT_TRUE(in_true_order(cache_, found));
}

TEST_F(ubatch_runs_test, streams_have_their_own_cells) {
    fake_cache other(256);
    cache_.add_prompt(0, 10);
    const fake_ubatch a = cache_.add_prompt(0, 30, false);
    const fake_ubatch b = other.add_prompt(0, 30);
    fake_ubatch both = a;
    both.n_stream = 2;
    both.mask.insert(both.mask.end(), b.mask.begin(), b.mask.end());
    both.positions.insert(both.positions.end(), b.positions.begin(), b.positions.end());
    for (int64_t & cell : both.own_cells) {
        cell += 512;  // streams 2 and 3 of a cache of 256 cells each
    }
    for (const int64_t cell : b.own_cells) {
        both.own_cells.push_back(768 + cell);
    }
    both.first_cell = {512, 768};
    both.output_rows = {59};
    const ubatch_runs found = learn_and_find(both.view(), table_, {}, 1);
    expect_exact_cover(both, found);
    ASSERT_EQ(found.runs.size(), 2u);
    EXPECT_EQ(found.runs[0].stream, 0);
    EXPECT_EQ(found.runs[0].rank_begin, 10);
    EXPECT_TRUE(found.runs[0].output_rows.empty());
    EXPECT_EQ(found.runs[1].stream, 1);
    EXPECT_EQ(found.runs[1].rank_begin, 0);
    EXPECT_EQ(found.runs[1].output_rows, std::vector<int64_t>{29});
}

TEST_F(ubatch_runs_test, holes_of_a_finished_user_are_filled_in_order) {
    classify(cache_.add_prompt(0, 40));
    classify(cache_.add_prompt(1, 40));
    cache_.remove(0);
    std::vector<int32_t> holes = cell_range(0, 20);
    const std::vector<int32_t> tail = cell_range(80, 100);
    holes.insert(holes.end(), tail.begin(), tail.end());
    cache_.force_cells(holes);
    const ubatch_runs found = classify(cache_.add_prompt(2, 40));
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_EQ(found.runs[0].cells, holes);
    EXPECT_TRUE(in_true_order(cache_, found));
}

TEST_F(ubatch_runs_test, wrapped_cells_are_put_in_position_order) {
    cache_.force_cells(cell_range(200, 256));
    classify(cache_.add_prompt(0, 56, false));
    cache_.force_cells(cell_range(0, 30));
    classify(cache_.add_prompt(0, 30, false));
    cache_.force_cells(cell_range(30, 60));
    const ubatch_runs found = classify(cache_.add_prompt(0, 30));
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_EQ(found.runs[0].cells.front(), 200);
    EXPECT_TRUE(in_true_order(cache_, found));
}

// A prompt, some decoded tokens among other users', and the user's next prompt.
TEST_F(ubatch_runs_test, decode_rows_that_were_seen_are_in_order) {
    for (const bool seen : {true, false}) {
        SCOPED_TRACE(seen);
        cache_ = fake_cache(256);
        table_ = {};
        cache_.force_cells(cell_range(100, 150));
        classify(cache_.add_prompt(0, 50));
        cache_.force_cells({151, 153, 155, 3, 5});  // other users' tokens lie between, then the search wraps
        const fake_ubatch decoded = cache_.add_prompt(0, 5);
        if (seen) {
            learn_rows(decoded.view(), table_, cache_.keys());
        }
        cache_.force_cells(cell_range(200, 240));
        const ubatch_runs found = classify(cache_.add_prompt(0, 40));
        ASSERT_EQ(found.runs.size(), 1u);
        EXPECT_TRUE(found.masked.empty());
        EXPECT_EQ(found.runs[0].ordered, seen);
        EXPECT_EQ(in_true_order(cache_, found), seen);
    }
}

TEST_F(ubatch_runs_test, nothing_known_is_no_order) {
    cache_.add_prompt(0, 5);  // one stretch, yet nothing says that it is in order
    const ubatch_runs found = classify(cache_.add_prompt(0, 10));
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_TRUE(found.runs[0].cells.empty());
    EXPECT_FALSE(found.runs[0].ordered);
}

TEST_F(ubatch_runs_test, one_unseen_cell_has_the_position_that_is_left) {
    cache_.force_cells(cell_range(100, 150));
    classify(cache_.add_prompt(0, 50));
    cache_.force_cells({7});
    cache_.add_prompt(0, 1);
    cache_.force_cells(cell_range(200, 240));
    EXPECT_TRUE(in_true_order(cache_, classify(cache_.add_prompt(0, 40))));
}

TEST_F(ubatch_runs_test, stale_entries_of_a_finished_user_do_not_count) {
    classify(cache_.add_prompt(0, 60));  // cells 0..59
    classify(cache_.add_prompt(1, 40));  // cells 60..99
    cache_.remove(0);
    cache_.force_cells(cell_range(0, 20));  // unseen: user 1 decodes into user 0's cells, whose entries say 0..19
    cache_.add_prompt(1, 20);
    const ubatch_runs found = classify(cache_.add_prompt(1, 30));
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_FALSE(found.runs[0].ordered);
}

// A conversation is restored into other cells, over what was learned of another user, and backwards.
TEST_F(ubatch_runs_test, restored_keys_are_known_again_if_they_were_seen) {
    for (const bool seen : {true, false}) {
        for (const bool rotary : {true, false}) {
            SCOPED_TRACE(testing::Message() << seen << rotary);
            cache_ = fake_cache(256);
            cell_table table;
            key_probe keys = cache_.keys();
            keys.rotary = rotary;
            cache_.force_cells(cell_range(50, 100));
            learn_and_find(cache_.add_prompt(0, 50).view(), table, keys, 1);
            cache_.remove(0);
            const fake_ubatch other = cache_.add_prompt(1, 80);
            if (seen) {
                learn_and_find(other.view(), table, keys, 1);
            }
            std::vector<int32_t> cells = cell_range(20, 100);
            std::reverse(cells.begin(), cells.end());
            cache_.move_to(1, cells);
            cache_.force_cells(cell_range(100, 130));
            const fake_ubatch next = cache_.add_prompt(1, 30);
            const ubatch_runs found = learn_and_find(next.view(), table, keys, 1);
            expect_exact_cover(next, found);
            ASSERT_EQ(found.runs.size(), 1u);
            EXPECT_EQ(in_true_order(cache_, found), seen && rotary);
            EXPECT_EQ(found.runs[0].ordered, seen && rotary);
        }
    }
}

TEST_F(ubatch_runs_test, two_cells_that_claim_one_position_are_no_order) {
    cache_.add_prompt(0, 20);
    const fake_ubatch ubatch = cache_.add_prompt(0, 20);
    cell_table blind;
    for (int32_t cell = 0; cell < 20; ++cell) {
        blind.learn(cell, cell % 10, {});
    }
    const ubatch_runs found = learn_and_find(ubatch.view(), blind, {}, 1);
    expect_exact_cover(ubatch, found);
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_FALSE(found.runs[0].ordered);
}

TEST_F(ubatch_runs_test, masked_rows_are_learned) {
    fake_ubatch windowed = cache_.add_prompt(0, 40);
    windowed.hide_beyond(16);
    EXPECT_FALSE(classify(windowed).masked.empty());
    EXPECT_TRUE(in_true_order(cache_, classify(cache_.add_prompt(0, 20))));
}

TEST_F(ubatch_runs_test, inputs_in_which_a_row_does_not_see_itself_teach_nothing) {
    fake_ubatch ubatch = cache_.add_prompt(0, 10);
    learn_rows(ubatch.view(), table_, cache_.keys());
    EXPECT_EQ(table_.position(ubatch.own_cells[3], cache_.keys()), 3);
    ubatch.mask_at(4, ubatch.own_cells[4]) = ubatch_view::k_hidden;
    cell_table table;
    learn_rows(ubatch.view(), table, cache_.keys());
    EXPECT_EQ(table.position(ubatch.own_cells[3], cache_.keys()), -1);
}

TEST_F(ubatch_runs_test, rows_outside_the_nodes_keys_are_not_learned) {
    fake_ubatch ubatch = cache_.add_prompt(0, 3);
    ubatch.own_cells[1] = int64_t{1} << 60;
    ubatch.own_cells[2] = -5;
    cell_table table;
    learn_rows(ubatch.view(), table, {});
    EXPECT_EQ(table.position(ubatch.own_cells[0], {}), 0);
    EXPECT_EQ(table.position(ubatch.own_cells[1], {}), -1);
}

TEST_F(ubatch_runs_test, sliding_window_rows_become_masked_where_the_window_drops_a_key) {
    fake_ubatch ubatch = cache_.add_prompt(0, 40);
    constexpr int64_t n_window = 16;
    ubatch.hide_beyond(n_window);
    cell_table fresh;
    EXPECT_FALSE(find_runs_sampled(ubatch.view(), fresh, cache_.keys())) << "samples must show a window";
    const ubatch_runs found = classify(ubatch);
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_EQ(found.runs[0].rows(), n_window);
    ASSERT_EQ(found.masked.size(), 1u);
    EXPECT_EQ(found.masked[0].row_begin, n_window);
    EXPECT_EQ(found.masked[0].reason, mask_reason::visible_count);
}

TEST_F(ubatch_runs_test, non_causal_rows_are_masked) {
    fake_ubatch ubatch = cache_.add_prompt(0, 20);
    for (int64_t row = 0; row < 20; ++row) {
        for (int64_t cell = 0; cell < 20; ++cell) {
            ubatch.mask_at(row, cell) = ubatch_view::k_visible;
        }
    }
    const ubatch_runs found = classify(ubatch);
    // The last row of a bidirectional block sees exactly what a causal one would.
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_EQ(found.runs[0].row_begin, 19);
    ASSERT_EQ(found.masked.size(), 1u);
    EXPECT_EQ(found.masked[0].reason, mask_reason::visible_count);
}

TEST_F(ubatch_runs_test, alibi_values_are_masked) {
    fake_ubatch ubatch = cache_.add_prompt(0, 20);
    for (int64_t row = 1; row < 20; ++row) {
        ubatch.mask_at(row, 0) = 0xbc00;  // -1
    }
    const ubatch_runs found = classify(ubatch);
    ASSERT_EQ(found.runs.size(), 1u);
    EXPECT_EQ(found.runs[0].rows(), 1);
    ASSERT_EQ(found.masked.size(), 1u);
    EXPECT_EQ(found.masked[0].reason, mask_reason::mask_values);
}

TEST_F(ubatch_runs_test, one_wrong_entry_anywhere_is_seen) {
    const fake_ubatch good = cache_.add_prompt(0, 24);
    for (int64_t row = 0; row < 24; ++row) {
        for (int64_t cell = 0; cell < good.n_kv; ++cell) {
            fake_ubatch bad = good;
            uint16_t & entry = bad.mask_at(row, cell);
            entry = entry == ubatch_view::k_visible ? ubatch_view::k_hidden : ubatch_view::k_visible;
            cell_table fresh;
            const ubatch_runs found = learn_and_find(bad.view(), fresh, cache_.keys(), 1);
            ASSERT_FALSE(found.masked.empty()) << "row " << row << " cell " << cell;
            expect_exact_cover(bad, found);
            cell_table other;
            const std::optional<ubatch_runs> sampled = find_runs_sampled(bad.view(), other, cache_.keys());
            ASSERT_FALSE(sampled && mask_confirms(bad.view(), *sampled)) << "row " << row << " cell " << cell;
        }
    }
}

TEST_F(ubatch_runs_test, random_masks_are_exact_whatever_they_hold) {
    uint32_t state = 1;
    const auto random = [&] { return state = state * 1664525u + 1013904223u; };
    for (int round = 0; round < 200; ++round) {
        fake_cache cache(64);
        fake_ubatch ubatch = cache.add_prompt(0, 16);
        const uint32_t density = random() >> 28;
        for (uint16_t & entry : ubatch.mask) {
            entry = (random() >> 28) < density ? ubatch_view::k_visible : ubatch_view::k_hidden;
        }
        cell_table fresh;
        expect_exact_cover(ubatch, learn_and_find(ubatch.view(), fresh, cache.keys(), 2));
    }
}

TEST_F(ubatch_runs_test, cells_and_positions_out_of_range_are_masked) {
    for (const int64_t wrong : {int64_t{-1}, int64_t{256}, INT64_MIN, INT64_MAX}) {
        fake_cache cache(256);
        fake_ubatch ubatch = cache.add_prompt(0, 10);
        ubatch.own_cells[4] = wrong;
        cell_table fresh;
        const ubatch_runs found = learn_and_find(ubatch.view(), fresh, cache.keys(), 1);
        expect_exact_cover(ubatch, found);
        ASSERT_EQ(found.masked.size(), 1u) << wrong;
        EXPECT_EQ(found.masked[0].reason, mask_reason::cell_range);
        EXPECT_EQ(found.masked[0].row_begin, 4);
        EXPECT_EQ(found.masked[0].rows(), 1);
    }
    fake_ubatch ubatch = cache_.add_prompt(0, 10);
    std::fill(ubatch.positions.begin(), ubatch.positions.end(), -7);
    const ubatch_runs found = classify(ubatch);
    EXPECT_TRUE(found.runs.empty());
    EXPECT_EQ(found.masked.front().reason, mask_reason::cell_range);
}

TEST_F(ubatch_runs_test, positions_that_do_not_fit_the_mask_are_masked) {
    fake_ubatch ubatch = cache_.add_prompt(0, 10);
    for (int32_t & position : ubatch.positions) {
        position += 1000;
    }
    const ubatch_runs found = classify(ubatch);
    EXPECT_TRUE(found.runs.empty());
    ASSERT_EQ(found.masked.size(), 1u);
    EXPECT_EQ(found.masked[0].reason, mask_reason::visible_count);
}

TEST_F(ubatch_runs_test, output_rows) {
    fake_ubatch ubatch = cache_.add(rows_of(0, 5) + rows_of(1, 5));
    ubatch.output_rows = {9, 2, 2, 7};  // any order, twice: harmless
    ubatch_runs found = classify(ubatch);
    ASSERT_EQ(found.runs.size(), 2u);
    EXPECT_EQ(found.runs[0].output_rows, std::vector<int64_t>{2});
    EXPECT_EQ(found.runs[1].output_rows, (std::vector<int64_t>{2, 4}));

    const std::vector<int64_t> all{0, 1, 2, 3, 4};
    for (const int32_t wrong : {-1, 10, INT32_MAX}) {
        ubatch.output_rows = {0, wrong};
        found = classify(ubatch);
        EXPECT_EQ(found.runs[1].output_rows, all) << "out of range must mean every row";
    }
    ubatch.output_rows.clear();
    ubatch.outputs_known = false;
    found = classify(ubatch);
    EXPECT_EQ(found.runs[0].output_rows, all);
    ubatch.outputs_known = true;
    found = classify(ubatch);
    EXPECT_TRUE(found.runs[0].output_rows.empty());
}

TEST_F(ubatch_runs_test, fingerprint_tells_ubatches_apart) {
    const fake_ubatch first = cache_.add_prompt(0, 30, false);
    const ubatch_runs found = classify(first);
    fake_ubatch second = cache_.add_prompt(0, 30, false);
    EXPECT_EQ(fingerprint(first.view(), found), fingerprint(first.view(), found));
    EXPECT_NE(fingerprint(first.view(), found), fingerprint(second.view(), found));
    fake_ubatch other_outputs = first;
    other_outputs.output_rows = {29};
    EXPECT_NE(fingerprint(first.view(), found), fingerprint(other_outputs.view(), found));
    other_outputs.outputs_known = false;
    EXPECT_NE(fingerprint(first.view(), found), fingerprint(other_outputs.view(), found));
}

// A busy server: users come, prefill in ubatches that mix them, decode (sometimes all of it in ubatches that nobody
// sees), and go. Whatever happens, each row must keep exactly what its mask shows, and what is called ordered must be.
// Where every ubatch is seen, all of it is.
void simulate_server(bool sees_decoding, int & n_runs, int & n_ordered) {
    uint32_t state = sees_decoding ? 7 : 8;
    const auto random = [&](uint32_t below) { return (state = state * 1664525u + 1013904223u) / 65536u % below; };
    fake_cache cache(700);
    cell_table table;
    constexpr int32_t k_users = 5;
    for (int step = 0; step < 400; ++step) {
        std::vector<fake_row> rows;
        for (int32_t user = 0; user < k_users; ++user) {
            if (cache.length(user) > 90 && random(3) == 0) {
                cache.remove(user, random(2) == 0 ? 0 : static_cast<int32_t>(random(90)));
            }
            const uint32_t n = random(3) == 0 ? random(30) : 1;
            const std::vector<fake_row> more =
                rows_of(user, cache.length(user) + static_cast<int32_t>(n) < 130 ? static_cast<int>(n) : 0);
            rows = rows + more;
        }
        if (rows.empty()) {
            continue;
        }
        const fake_ubatch ubatch = cache.add(rows);
        if (!sees_decoding && rows.size() <= 8 * k_users) {  // too small for the backend to see
            continue;
        }
        const ubatch_runs found = learn_and_find(ubatch.view(), table, cache.keys(), 1);
        ASSERT_NO_FATAL_FAILURE(expect_exact_cover(ubatch, found));
        EXPECT_TRUE(found.masked.empty());
        for (const causal_run & run : found.runs) {
            n_runs++;
            n_ordered += run.ordered;
            EXPECT_EQ(in_true_order(cache, {{run}, {}}), run.ordered) << "step " << step;
        }
    }
}

TEST(ubatch_runs_server, all_seen) {
    int n_runs = 0;
    int n_ordered = 0;
    simulate_server(true, n_runs, n_ordered);
    EXPECT_GT(n_runs, 500);
    EXPECT_EQ(n_ordered, n_runs);
}

TEST(ubatch_runs_server, decoding_unseen) {
    int n_runs = 0;
    int n_ordered = 0;
    simulate_server(false, n_runs, n_ordered);
    EXPECT_GT(n_runs, 300);
    EXPECT_GT(n_ordered, 0);
    EXPECT_LT(n_ordered, n_runs);
}

}  // namespace
}  // namespace tmx::test
