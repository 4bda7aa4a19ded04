// The pictures, the table and the examples of docs/pattern.md are what the code computes.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "trianglemix/geometry.h"

namespace tmx {
namespace {

std::vector<std::string> document() {
    std::ifstream file(TMX_DOCS_FOLDER "/pattern.md");
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) {
        lines.push_back(line);
    }
    return lines;
}

std::vector<std::string> cells_of(const std::string & line) {
    std::vector<std::string> cells;
    std::istringstream stream(line);
    for (std::string cell; std::getline(stream, cell, '|');) {
        const size_t begin = cell.find_first_not_of(' ');
        if (begin != std::string::npos) {
            cells.push_back(cell.substr(begin, cell.find_last_not_of(' ') - begin + 1));
        }
    }
    return cells;
}

// Rows of the table whose header begins with these words.
std::vector<std::vector<std::string>> table(const std::string & header) {
    std::vector<std::vector<std::string>> rows;
    bool inside = false;
    for (const std::string & line : document()) {
        if (line.starts_with(header)) {
            inside = true;
        } else if (inside && !line.starts_with("|")) {
            break;
        } else if (inside && !line.starts_with("| ---")) {
            rows.push_back(cells_of(line));
        }
    }
    return rows;
}

// The indented block whose first line is `first`.
std::vector<std::string> picture(const std::string & first) {
    std::vector<std::string> lines;
    for (const std::string & line : document()) {
        if (!line.starts_with("    ")) {
            if (!lines.empty()) {
                break;
            }
        } else if (!lines.empty() || line == "    " + first) {
            lines.push_back(line.substr(4));
        }
    }
    return lines;
}

template <class Symbol>
std::vector<std::string> drawn(int64_t n, Symbol symbol) {
    std::vector<std::string> lines;
    for (int64_t i = 0; i < n; ++i) {
        std::string line;
        for (int64_t j = 0; j <= i; ++j) {
            if (j > 0) {
                line += ' ';
            }
            line += symbol(i, j);
        }
        lines.push_back(line);
    }
    return lines;
}

std::vector<row_segment> resolve(tail_policy tail, index_range chunk, int64_t n) {
    std::vector<int64_t> output_rows;
    if (chunk.end == n) {
        output_rows.push_back(chunk.size() - 1);
    }
    return resolve_segments(triangle_shape{}, tail, {chunk, tail == tail_policy::prompt ? n : -1}, output_rows);
}

std::string percent_of_dense(tail_policy tail, int64_t n, int64_t chunk_rows) {
    int64_t kept = 0;
    for (int64_t begin = 0; begin < n; begin += chunk_rows) {
        for (const row_segment & segment : resolve(tail, {begin, smaller(begin + chunk_rows, n)}, n)) {
            kept += kept_pairs(segment.kept, {begin + segment.rows.begin, begin + segment.rows.end});
        }
    }
    char text[32];
    std::snprintf(text, sizeof(text), "%.1f",
                  100.0 * static_cast<double>(kept) / static_cast<double>(kept_pairs({}, {0, n})));
    return text;
}

std::string dense_ranks(tail_policy tail, index_range chunk, int64_t n) {
    std::string text;
    for (const row_segment & segment : resolve(tail, chunk, n)) {
        if (segment.kept.dense()) {
            text += text.empty() ? "" : ", ";
            text += std::to_string(chunk.begin + segment.rows.begin);
            text += "..";
            text += std::to_string(chunk.begin + segment.rows.end - 1);
        }
    }
    return text.empty() ? "none" : text;
}

TEST(pattern_doc, the_picture_of_sections) {
    const band streaming{2, 6};
    EXPECT_EQ(picture("s"), drawn(24, [&](int64_t i, int64_t j) {
                  return keeps(streaming, i, j) ? 's' : (i >= 24 - 4 ? 'l' : '.');
              }));
}

TEST(pattern_doc, the_picture_of_tiles) {
    const band streaming{2, 10};
    EXPECT_EQ(picture("+"), drawn(12, [&](int64_t q, int64_t k) {
                  const band kept = q == 11 ? band{} : streaming;
                  switch (cover(kept, {4 * q, 4 * q + 4}, {4 * k, 4 * k + 4})) {
                      case tile_cover::full:
                          return '#';
                      case tile_cover::partial:
                          return '+';
                      case tile_cover::none:
                          return '.';
                  }
                  return '?';
              }));
}

TEST(pattern_doc, the_table_of_shares) {
    const auto rows = table("| tokens |");
    ASSERT_EQ(rows.size(), 9u);
    for (const std::vector<std::string> & row : rows) {
        ASSERT_EQ(row.size(), 6u);
        const int64_t n = std::stoll(row[0]);
        EXPECT_EQ(row[1], std::to_string(kept_pairs({}, {0, n})));
        char streaming[32];
        std::snprintf(
            streaming, sizeof(streaming), "%.1f",
            100.0 * static_cast<double>(kept_pairs({8, 512}, {0, n})) / static_cast<double>(kept_pairs({}, {0, n})));
        EXPECT_EQ(row[2], streaming) << n;
        EXPECT_EQ(row[3], percent_of_dense(tail_policy::prompt, n, n)) << n;
        EXPECT_EQ(row[3], percent_of_dense(tail_policy::prompt, n, 512)) << n;
        EXPECT_EQ(row[4], percent_of_dense(tail_policy::chunk, n, 2048)) << n;
        EXPECT_EQ(row[5], percent_of_dense(tail_policy::chunk, n, 512)) << n;
    }
}

TEST(pattern_doc, the_table_of_chunks) {
    const auto rows = table("| prompt | chunk |");
    ASSERT_EQ(rows.size(), 6u);
    for (const std::vector<std::string> & row : rows) {
        ASSERT_EQ(row.size(), 5u);
        const int64_t n = std::stoll(row[0]);
        const index_range chunk{std::stoll(row[1]), std::stoll(row[1].substr(row[1].find("..") + 2)) + 1};
        EXPECT_EQ(row[2], dense_ranks(tail_policy::prompt, chunk, n)) << row[0] << " " << row[1];
        EXPECT_EQ(row[3], dense_ranks(tail_policy::chunk, chunk, n)) << row[0] << " " << row[1];
        EXPECT_EQ(row[4], dense_ranks(tail_policy::output, chunk, n)) << row[0] << " " << row[1];
    }
}

TEST(pattern_doc, the_closed_forms) {
    for (const int64_t n : {int64_t{648}, int64_t{5000}, int64_t{131072}}) {
        constexpr int64_t b = 520, r = 128;
        EXPECT_EQ(kept_pairs({8, 512}, {0, n - r}), b * (n - r) - b * (b - 1) / 2) << n;
        EXPECT_EQ(kept_pairs({}, {n - r, n}), r * n - r * (r - 1) / 2) << n;
    }
}

}  // namespace
}  // namespace tmx
