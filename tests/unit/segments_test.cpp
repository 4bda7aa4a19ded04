// resolve_segments against the rule of each single row, as DESIGN and geometry.h word it.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "trianglemix/geometry.h"

namespace tmx {
namespace {

constexpr triangle_shape k_shape{2, 3, 0};  // n_last is set by each test

struct scenario {
    tail_policy tail;
    int64_t n_last;
    index_range ranks;
    int64_t prompt_end;
    std::vector<int64_t> output_rows;
};

std::string text_of(const scenario & s) {
    std::string text = "policy " + std::to_string(static_cast<int>(s.tail)) + " last " + std::to_string(s.n_last) +
                       " ranks [" + std::to_string(s.ranks.begin) + ", " + std::to_string(s.ranks.end) +
                       ") prompt_end " + std::to_string(s.prompt_end) + " outputs";
    for (const int64_t row : s.output_rows) {
        text += ' ';
        text += std::to_string(row);
    }
    return text;
}

bool row_is_dense(const scenario & s, int64_t row) {
    for (const int64_t output : s.output_rows) {
        if (output - row >= 0 && output - row < s.n_last) {
            return true;
        }
    }
    const int64_t n_rows = s.ranks.end - s.ranks.begin;
    switch (s.tail) {
        case tail_policy::output:
            return false;
        case tail_policy::prompt:
            if (s.prompt_end >= 0) {
                return s.ranks.begin + row >= s.prompt_end - s.n_last;
            }
            return row >= n_rows - s.n_last;
        case tail_policy::chunk:
            return row >= n_rows - s.n_last;
    }
    return false;
}

std::vector<row_segment> resolve(const scenario & s) {
    triangle_shape shape = k_shape;
    shape.n_last = s.n_last;
    return resolve_segments(shape, s.tail, {s.ranks, s.prompt_end}, s.output_rows);
}

void check(const scenario & s) {
    const int64_t n_rows = s.ranks.end - s.ranks.begin;
    const std::vector<row_segment> segments = resolve(s);
    int64_t row = 0;
    for (size_t i = 0; i < segments.size(); ++i) {
        ASSERT_EQ(segments[i].rows.begin, row) << text_of(s);
        ASSERT_LT(segments[i].rows.begin, segments[i].rows.end) << text_of(s);
        if (i > 0) {
            ASSERT_NE(segments[i].kept, segments[i - 1].kept) << "neighbours not merged: " << text_of(s);
        }
        for (; row < segments[i].rows.end; ++row) {
            const band expected = row_is_dense(s, row) ? band{} : band{k_shape.n_sink, k_shape.n_window};
            ASSERT_EQ(segments[i].kept, expected) << "row " << row << " of " << text_of(s);
        }
    }
    ASSERT_EQ(row, n_rows) << text_of(s);
}

TEST(segments, every_row_of_every_small_chunk_follows_the_rule) {
    constexpr int64_t max_rows = 6;
    int64_t n_checked = 0;
    for (const tail_policy tail : {tail_policy::prompt, tail_policy::chunk, tail_policy::output}) {
        for (int64_t n_last = 0; n_last <= max_rows + 2; ++n_last) {
            for (int64_t begin = 0; begin <= 3; ++begin) {
                for (int64_t n_rows = 0; n_rows <= max_rows; ++n_rows) {
                    for (int64_t prompt_end = -1; prompt_end <= begin + max_rows + 3; ++prompt_end) {
                        for (uint32_t outputs = 0; outputs < 1u << n_rows; ++outputs) {
                            scenario s{tail, n_last, {begin, begin + n_rows}, prompt_end, {}};
                            for (int64_t row = 0; row < n_rows; ++row) {
                                if ((outputs >> row & 1u) != 0) {
                                    s.output_rows.push_back(row);
                                }
                            }
                            check(s);
                            if (HasFatalFailure()) {
                                return;
                            }
                            ++n_checked;
                        }
                    }
                }
            }
        }
    }
    EXPECT_GT(n_checked, 100000);
}

// Cuts a prompt of n rows into chunks in every possible way; returns for each cut the rows that end up dense.
template <class Visit>
void for_each_split(int64_t n, Visit visit) {
    for (uint32_t cuts = 0; cuts < 1u << (n - 1); ++cuts) {
        std::vector<index_range> chunks;
        int64_t begin = 0;
        for (int64_t i = 1; i <= n; ++i) {
            if (i == n || (cuts >> (i - 1) & 1u) != 0) {
                chunks.push_back({begin, i});
                begin = i;
            }
        }
        visit(chunks);
    }
}

std::vector<bool> dense_rows_of(const std::vector<index_range> & chunks, tail_policy tail, int64_t n_last,
                                bool length_known) {
    const int64_t n = chunks.back().end;
    std::vector<bool> dense(static_cast<size_t>(n));
    for (const index_range chunk : chunks) {
        scenario s{tail, n_last, chunk, length_known ? n : -1, {}};
        if (chunk.end == n) {
            s.output_rows = {chunk.end - chunk.begin - 1};  // a host asks for the prompt's last row only
        }
        for (const row_segment & segment : resolve(s)) {
            for (int64_t row = segment.rows.begin; row < segment.rows.end; ++row) {
                dense[static_cast<size_t>(chunk.begin + row)] = segment.kept.dense();
            }
        }
    }
    return dense;
}

TEST(segments, prompt_policy_gives_the_definition_for_every_split) {
    constexpr int64_t n = 9;
    for (int64_t n_last = 0; n_last <= n + 1; ++n_last) {
        for_each_split(n, [&](const std::vector<index_range> & chunks) {
            const std::vector<bool> dense = dense_rows_of(chunks, tail_policy::prompt, n_last, true);
            for (int64_t i = 0; i < n; ++i) {
                ASSERT_EQ(dense[static_cast<size_t>(i)], i >= n - n_last) << "row " << i << " last " << n_last;
            }
        });
    }
}

TEST(segments, chunk_policy_gives_a_superset_of_the_definition_for_every_split) {
    constexpr int64_t n = 9;
    for (int64_t n_last = 0; n_last <= n + 1; ++n_last) {
        for_each_split(n, [&](const std::vector<index_range> & chunks) {
            for (const tail_policy tail : {tail_policy::chunk, tail_policy::prompt}) {  // length unknown: the same
                const std::vector<bool> dense = dense_rows_of(chunks, tail, n_last, false);
                for (int64_t i = 0; i < n; ++i) {
                    const auto chunk = std::find_if(chunks.begin(), chunks.end(),
                                                    [&](const index_range & c) { return i >= c.begin && i < c.end; });
                    ASSERT_EQ(dense[static_cast<size_t>(i)], i >= chunk->end - n_last)
                        << "row " << i << " last " << n_last;
                    if (i >= n - n_last) {
                        ASSERT_TRUE(dense[static_cast<size_t>(i)]) << "row " << i << " last " << n_last;
                    }
                }
            }
        });
    }
}

TEST(segments, output_policy_is_short_only_of_rows_before_the_final_chunk) {
    constexpr int64_t n = 9;
    for (int64_t n_last = 0; n_last <= n + 1; ++n_last) {
        for_each_split(n, [&](const std::vector<index_range> & chunks) {
            const std::vector<bool> dense = dense_rows_of(chunks, tail_policy::output, n_last, false);
            for (int64_t i = 0; i < n; ++i) {
                const bool expected = i >= chunks.back().begin && i >= n - n_last;
                ASSERT_EQ(dense[static_cast<size_t>(i)], expected) << "row " << i << " last " << n_last;
            }
        });
    }
}

TEST(segments, all_logits_asked_for_means_dense) {
    for (const tail_policy tail : {tail_policy::prompt, tail_policy::chunk, tail_policy::output}) {
        scenario s{tail, 1, {100, 140}, 5000, {}};
        for (int64_t row = 0; row < 40; ++row) {
            s.output_rows.push_back(row);
        }
        const std::vector<row_segment> segments = resolve(s);
        ASSERT_EQ(segments.size(), 1u);
        EXPECT_EQ(segments[0], (row_segment{{0, 40}, band{}}));
    }
}

TEST(segments, a_real_chunk_reads_as_expected) {
    const std::vector<int64_t> output = {900};
    const std::vector<row_segment> segments =
        resolve_segments(triangle_shape{}, tail_policy::chunk, {{2048, 4096}, -1}, output);
    const band banded{8, 512};
    const std::vector<row_segment> expected = {
        {{0, 773}, banded}, {{773, 901}, band{}}, {{901, 1920}, banded}, {{1920, 2048}, band{}}};
    EXPECT_EQ(segments, expected);
}

// Largest values that the plan format lets through.
TEST(segments, extreme_sizes_do_not_overflow) {
    constexpr int64_t k_max = std::numeric_limits<int32_t>::max();
    const std::vector<int64_t> output = {9};
    for (const tail_policy tail : {tail_policy::prompt, tail_policy::chunk, tail_policy::output}) {
        const std::vector<row_segment> segments =
            resolve_segments({k_max, k_max, k_max}, tail, {{k_max - 10, k_max}, k_max}, output);
        ASSERT_EQ(segments.size(), 1u);
        EXPECT_EQ(segments[0], (row_segment{{0, 10}, band{}}));
    }
}

}  // namespace
}  // namespace tmx
