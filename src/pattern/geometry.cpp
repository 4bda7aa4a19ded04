#include "trianglemix/geometry.h"

#include <algorithm>

namespace tmx {
namespace {

// Sum of the integers in [begin, end).
int64_t sum_range(int64_t begin, int64_t end) {
    return begin < end ? (begin + end - 1) * (end - begin) / 2 : 0;
}

}  // namespace

// Row i keeps min(i + 1, n_window) window keys and clamp(i + 1 - n_window, 0, n_sink) sink keys before the window:
// together min(i + 1, n_window + n_sink), a ramp up to a corner and constant after it.
int64_t kept_pairs(const band & b, index_range rows) {
    if (rows.empty()) {
        return 0;
    }
    if (b.n_window >= rows.end) {  // also keeps the sum below away from the dense band's huge n_window
        return sum_range(rows.begin + 1, rows.end + 1);
    }
    const int64_t most = b.n_window + smaller(b.n_sink, rows.end);
    const int64_t corner = std::clamp(most, rows.begin, rows.end);
    return sum_range(rows.begin + 1, corner + 1) + most * (rows.end - corner);
}

// Rows before the first key see none; then a ramp up to the row that sees the last key, and all of them from there on.
int64_t causal_pairs(index_range rows, index_range keys) {
    if (rows.empty() || keys.empty()) {
        return 0;
    }
    const int64_t ramp = std::clamp(keys.begin, rows.begin, rows.end);
    const int64_t whole = std::clamp(keys.end - 1, ramp, rows.end);
    return sum_range(ramp + 1 - keys.begin, whole + 1 - keys.begin) + keys.size() * (rows.end - whole);
}

std::vector<row_segment> resolve_segments(const triangle_shape & shape, tail_policy policy, const chunk_rows & chunk,
                                          std::span<const int64_t> output_rows) {
    const int64_t n_rows = chunk.ranks.size();
    const band banded{shape.n_sink, shape.n_window};
    const band dense{};

    std::vector<index_range> dense_rows;  // ascending by begin; may overlap
    for (const int64_t row : output_rows) {
        dense_rows.push_back({larger(0, row - shape.n_last + 1), row + 1});
    }
    const bool end_known = policy == tail_policy::prompt && chunk.prompt_end >= 0;
    if (end_known) {
        const int64_t last_begin = chunk.prompt_end - shape.n_last - chunk.ranks.begin;
        dense_rows.push_back({std::clamp<int64_t>(last_begin, 0, n_rows), n_rows});
    } else if (policy != tail_policy::output) {
        dense_rows.push_back({larger(0, n_rows - shape.n_last), n_rows});
    }
    std::sort(dense_rows.begin(), dense_rows.end(),
              [](const index_range & a, const index_range & b) { return a.begin < b.begin; });

    std::vector<row_segment> segments;
    const auto append = [&](index_range rows, const band & kept) {
        if (rows.empty()) {
            return;
        }
        if (!segments.empty() && segments.back().kept == kept) {
            segments.back().rows.end = rows.end;
        } else {
            segments.push_back({rows, kept});
        }
    };
    int64_t done = 0;
    for (const index_range & rows : dense_rows) {
        if (rows.end > done && !rows.empty()) {
            append({done, rows.begin}, banded);
            append({larger(done, rows.begin), rows.end}, dense);
            done = rows.end;
        }
    }
    append({done, n_rows}, banded);
    return segments;
}

work_count count_work(const band & b, index_range rows, int64_t n_head, int64_t n_head_kv, int64_t d_qk, int64_t d_v,
                      double kv_bytes_per_elem) {
    if (rows.empty()) {
        return {};
    }
    const key_ranges keys = visited_keys(b, rows);
    const double width = static_cast<double>(d_qk + d_v);
    const double visited = static_cast<double>(keys.sink.size() + keys.window.size());
    return {
        .flops = 2.0 * width * static_cast<double>(n_head) * static_cast<double>(kept_pairs(b, rows)),
        .kv_bytes = visited * width * static_cast<double>(n_head_kv) * kv_bytes_per_elem,
        .query_bytes = static_cast<double>(rows.size()) * width * static_cast<double>(n_head) * sizeof(float),
    };
}

}  // namespace tmx
