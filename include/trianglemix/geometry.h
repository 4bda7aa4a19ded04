// trianglemix/geometry.h -- which (query, key) pairs are computed. The ONLY file with sink / window / last arithmetic:
// kernels (host and device), the scheduler, FLOP counts, the profiler and the backend all ask it.
//
// A key's RANK is its 0-based index in the order of its sequence; the rank of a query is the rank of its own key. In a
// prompt prefilled from position 0, rank and position are the same number. Everything is causal: rank j <= rank i.
//
//   section     pairs (i, j), j <= i                    TriangleMix (arXiv 2507.21526), section 3
//   streaming   j < n_sink, or i - j < n_window
//   last        i >= N - n_last, and not streaming
//   middle      the rest: skipped in a triangle layer
//
// Rows of section "last" keep every key, so a chunk of queries falls into stretches of rows that are either dense or
// banded (streaming only). `band` describes one stretch; `resolve_segments` cuts a chunk into them.
//
// THREADS  Pure functions of their arguments.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#if defined(__CUDACC__)
#define TMX_HOST_DEVICE __host__ __device__
#else
#define TMX_HOST_DEVICE
#endif

namespace tmx {

// The paper's released setting (microsoft/MInference, TriangleMix): sink 8, window 512, last 128.
struct triangle_shape {
    int64_t n_sink = 8;      // first keys that every row keeps; >= 0
    int64_t n_window = 512;  // most recent keys that every row keeps, its own included; >= 1
    int64_t n_last = 128;    // rows at the prompt's end that keep every key; >= 0
};

// Half-open range [begin, end) of key ranks, of rows, or of tiles. Empty when begin >= end.
struct index_range {
    int64_t begin = 0;
    int64_t end = 0;

    TMX_HOST_DEVICE constexpr bool empty() const { return begin >= end; }
    TMX_HOST_DEVICE constexpr int64_t size() const { return end > begin ? end - begin : 0; }
    constexpr bool operator==(const index_range &) const = default;
};

// What one stretch of rows keeps: row i keeps key j <= i iff j < n_sink or i - j < n_window.
struct band {
    int64_t n_sink = 0;
    int64_t n_window = std::numeric_limits<int64_t>::max();  // the default keeps every key: dense

    TMX_HOST_DEVICE constexpr bool dense() const { return n_window == std::numeric_limits<int64_t>::max(); }
    constexpr bool operator==(const band &) const = default;
};

TMX_HOST_DEVICE constexpr int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}
TMX_HOST_DEVICE constexpr int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

// First key of row i's window: the row keeps [window_begin(i), i] and [0, n_sink).
TMX_HOST_DEVICE constexpr int64_t window_begin(const band & b, int64_t i) {
    return b.n_window > i ? 0 : i - b.n_window + 1;
}

TMX_HOST_DEVICE constexpr bool keeps(const band & b, int64_t i, int64_t j) {
    return j >= 0 && j <= i && (j < b.n_sink || j >= window_begin(b, i));
}

// What one row keeps, in numbers that a device compares quickly: [0, n_sink) and [first, own]. REQUIRES i < 2^31.
struct kept_row {
    int32_t n_sink = 0;
    int32_t first = 0;
    int32_t own = 0;
};

TMX_HOST_DEVICE constexpr kept_row row_of(const band & b, int64_t i) {
    return {static_cast<int32_t>(smaller(b.n_sink, i + 1)), static_cast<int32_t>(window_begin(b, i)),
            static_cast<int32_t>(i)};
}

TMX_HOST_DEVICE constexpr bool keeps(const kept_row & row, int32_t j) {
    return (j <= row.own) & ((j < row.n_sink) | (j >= row.first));  // no branches: three comparisons of a device
}

// The same with keys counted from rank `origin`, and none from rank `end` on: keeps(counted_from(row, origin, end), j)
// is keeps(row, origin + j) && origin + j < end.
TMX_HOST_DEVICE constexpr kept_row counted_from(const kept_row & row, int32_t origin, int32_t end) {
    return {row.n_sink - origin, row.first - origin, (row.own < end ? row.own : end - 1) - origin};
}

// Whether a row keeps all keys [begin, end) through its window.
TMX_HOST_DEVICE constexpr bool keeps_all(const kept_row & row, int32_t begin, int32_t end) {
    return (begin >= row.first) & (end - 1 <= row.own);
}

// Keys that at least one row of [rows.begin, rows.end) keeps: the sink range, then the window range; the two are merged
// into `window` (and `sink` left empty) when they touch, so no key is visited twice. REQUIRES rows not empty.
struct key_ranges {
    index_range sink;
    index_range window;
};

TMX_HOST_DEVICE constexpr key_ranges visited_keys(const band & b, index_range rows) {
    const int64_t end = rows.end;
    const int64_t first = window_begin(b, rows.begin);
    if (b.n_sink >= first) {
        return {{0, 0}, {0, end}};
    }
    return {{0, b.n_sink}, {first, end}};
}

// Whether the tile rows x keys holds only kept pairs (full), some (partial), or none. Full tiles need no element mask.
// REQUIRES both ranges not empty.
enum class tile_cover : uint8_t { none, partial, full };

TMX_HOST_DEVICE constexpr tile_cover cover(const band & b, index_range rows, index_range keys) {
    const int64_t first = rows.begin;
    const int64_t last = rows.end - 1;
    if (keys.begin > last) {
        return tile_cover::none;
    }
    const bool all_sink = keys.end <= b.n_sink;
    if (!all_sink && keys.begin >= b.n_sink && keys.end <= window_begin(b, first)) {
        return tile_cover::none;
    }
    const bool all_causal = keys.end - 1 <= first;
    const bool all_window = keys.begin >= window_begin(b, last);
    // Sink and window may together cover the tile for every row, exactly when the last row's window reaches the sink.
    const bool all_joined = window_begin(b, last) <= b.n_sink;
    return all_causal && (all_sink || all_window || all_joined) ? tile_cover::full : tile_cover::partial;
}

// Number of pairs that rows [rows.begin, rows.end) keep; closed form, no loop. REQUIRES 0 <= rows.begin <= rows.end.
TMX_HOST_DEVICE int64_t kept_pairs(const band & b, index_range rows);

// Number of causal pairs of rows and one stretch of keys: of row i the keys of [keys.begin, keys.end) up to i.
// REQUIRES 0 <= begin <= end of both.
int64_t causal_pairs(index_range rows, index_range keys);

// Which rows of a chunk are "last", when the prompt's end may or may not be known yet.
enum class tail_policy : uint8_t {
    prompt,  // the prompt's length is known: rows >= prompt_end - n_last, exactly the paper's definition
    chunk,   // the last n_last rows of every chunk (the next chunk, the prompt's final one, may be shorter): a superset
    output,  // nothing besides the rows near output rows: short of some last rows if the final chunk is < n_last
};

// A chunk of one sequence: queries of ranks [ranks.begin, ranks.end) over keys [0, ranks.end).
struct chunk_rows {
    index_range ranks;
    int64_t prompt_end = -1;  // length of the prompt; < 0: unknown, then policy `prompt` behaves as `chunk`
};

// One stretch of a chunk's rows with one band. Rows are relative to the chunk: row r has rank ranks.begin + r.
struct row_segment {
    index_range rows;
    band kept;
    constexpr bool operator==(const row_segment &) const = default;
};

// Cuts a chunk of a triangle layer into dense and banded stretches, in row order, covering every row once.
//
// KEEPS    Whatever the policy, a row r is dense if 0 <= o - r < n_last for some output row o (a row whose logits the
//          host asked for): so a host that asks for all logits gets exact dense attention, and a prompt's end is always
//          recognised when it is in this chunk. Then the policy adds its rows.
// SHAPES   output_rows: rows relative to the chunk, ascending, inside it.
std::vector<row_segment> resolve_segments(const triangle_shape & shape, tail_policy policy, const chunk_rows & chunk,
                                          std::span<const int64_t> output_rows);

// Work of one attention call, counting kept pairs only.
struct work_count {
    double flops = 0;        // 2 * (d_qk + d_v) per pair and query head; an FMA counts 2
    double kv_bytes = 0;     // K and V bytes of the visited keys, each read once
    double query_bytes = 0;  // queries in, outputs out (f32)
};

work_count count_work(const band & b, index_range rows, int64_t n_head, int64_t n_head_kv, int64_t d_qk, int64_t d_v,
                      double kv_bytes_per_elem);

}  // namespace tmx
