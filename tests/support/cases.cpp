#include "cases.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "random_cases.h"

namespace tmx::test {
namespace {

const band k_dense{};

case_segment rows(int64_t row_begin, int64_t n_rows, int64_t rank_begin, int64_t key_begin, const band & kept,
                  int32_t batch = 0) {
    case_segment result;
    result.rows.batch = batch;
    result.rows.row_begin = row_begin;
    result.rows.row_end = row_begin + n_rows;
    result.rows.rank_begin = rank_begin;
    result.rows.key_begin = key_begin;
    result.rows.kept = kept;
    return result;
}

case_segment masked_rows(int64_t row_begin, int64_t n_rows, int32_t batch = 0) {
    case_segment result = rows(row_begin, n_rows, 0, 0, k_dense, batch);
    result.rows.masked = true;
    return result;
}

// Rows of ranks [rank_begin, rank_begin + n_rows) over exactly the keys up to their own.
test_case chunk(std::string name, int64_t rank_begin, int64_t n_rows, const band & kept) {
    test_case c;
    c.name = std::move(name);
    c.n_q = n_rows;
    c.n_kv = rank_begin + n_rows;
    c.segments = {rows(0, n_rows, rank_begin, 0, kept)};
    return c;
}

std::string number(int64_t n) {
    return std::to_string(n);
}

const char * name_of(dtype type) {
    constexpr const char * names[] = {"f32", "f16", "bf16", "q8_0", "q4_0"};
    return names[static_cast<int>(type)];
}

using case_list = std::vector<test_case>;

// Lengths around every tile size in use, with windows that do and do not reach the first key.
void add_lengths(case_list & list) {
    for (const int64_t n : {1, 15, 16, 17, 31, 33, 62, 63, 64, 65, 127, 128, 129, 213}) {
        list.push_back(chunk("dense_" + number(n), 0, n, k_dense));
        list.push_back(chunk("window_16_sink_4_" + number(n), 0, n, {4, 16}));
        list.push_back(chunk("window_n_" + number(n), 0, n, {0, n}));
        list.push_back(chunk("window_1_" + number(n), 0, n, {0, 1}));
    }
    for (const int64_t window : {2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 399}) {
        list.push_back(chunk("window_" + number(window) + "_of_400", 0, 400, {8, window}));
    }
    for (const int64_t sink : {0, 1, 15, 16, 17, 64, 200, 299, 300, 301, 5000}) {
        list.push_back(chunk("sink_" + number(sink) + "_of_300", 0, 300, {sink, 20}));
    }
}

// Chunks of a prompt: the first row is not the first key, and the middle is poisoned.
void add_chunks(case_list & list) {
    for (const int64_t begin : {1, 100, 127, 128, 500, 1500}) {
        for (const int64_t n : {1, 33, 128}) {
            const std::string name = number(begin) + "_rows_" + number(n);
            list.push_back(chunk("chunk_at_" + name, begin, n, {8, 70}));
            list.push_back(chunk("dense_chunk_at_" + name, begin, n, k_dense));
        }
        list.push_back(chunk("sinkless_chunk_at_" + number(begin), begin, 65, {0, 64}));
        list.push_back(chunk("sink_past_window_at_" + number(begin), begin, 65, {begin + 10, 3}));
    }
    // A triangle layer's last chunk: banded rows, then the prompt's last rows, which keep every key.
    test_case tail = chunk("banded_then_last_rows", 700, 200, {8, 64});
    tail.segments = {rows(0, 137, 700, 0, {8, 64}), rows(137, 63, 837, 0, k_dense)};
    list.push_back(tail);
    // Keys behind the last rank, of other users, are poisoned.
    test_case inside = chunk("keys_on_both_sides", 50, 100, {8, 40});
    inside.n_kv = 600;
    inside.segments = {rows(0, 100, 50, 211, {8, 40})};
    list.push_back(inside);
}

void add_dims(case_list & list) {
    for (const int64_t d : {16, 32, 48, 64, 80, 96, 112, 128, 144, 192, 240, 256}) {
        test_case c = chunk("dim_" + number(d), 30, 65, {8, 40});
        c.d_qk = c.d_v = d;
        list.push_back(c);
    }
    for (const auto & [d_qk, d_v] : {std::pair<int64_t, int64_t>{192, 128},
                                     {128, 64},
                                     {64, 128},
                                     {16, 256},
                                     {256, 16},
                                     {80, 48},
                                     {48, 112},
                                     {96, 192}}) {
        test_case c = chunk("dim_" + number(d_qk) + "_values_" + number(d_v), 30, 65, {8, 40});
        c.d_qk = d_qk;
        c.d_v = d_v;
        list.push_back(c);
    }
}

void add_types(case_list & list) {
    constexpr dtype types[] = {dtype::f32, dtype::f16, dtype::bf16, dtype::q8_0, dtype::q4_0};
    for (const dtype k : types) {
        for (const dtype v : types) {
            test_case c = chunk(std::string("keys_") + name_of(k) + "_values_" + name_of(v), 20, 70, {8, 40});
            c.k_type = k;
            c.v_type = v;
            list.push_back(c);
        }
        for (const int64_t d : {32, 96, 128, 256}) {
            test_case c = chunk(std::string("type_") + name_of(k) + "_dim_" + number(d), 0, 100, k_dense);
            c.k_type = c.v_type = k;
            c.d_qk = c.d_v = d;
            c.kv_layout = layout::padded;
            list.push_back(c);
        }
    }
}

void add_heads_and_layouts(case_list & list) {
    for (const auto & [n_head, n_head_kv] : {std::pair<int64_t, int64_t>{1, 1},
                                             {3, 1},
                                             {4, 4},
                                             {4, 1},
                                             {8, 2},
                                             {7, 1},
                                             {14, 2},
                                             {9, 3},
                                             {8, 1},
                                             {12, 3},
                                             {16, 1}}) {
        for (const int64_t n : {5, 70}) {
            test_case c =
                chunk("heads_" + number(n_head) + "_of_" + number(n_head_kv) + "_rows_" + number(n), 90, n, {8, 40});
            c.n_head = n_head;
            c.n_head_kv = n_head_kv;
            list.push_back(c);
        }
    }
    constexpr const char * names[] = {"head_major", "token_major", "padded"};
    for (const layout q : {layout::head_major, layout::token_major, layout::padded}) {
        for (const layout kv : {layout::head_major, layout::token_major, layout::padded}) {
            test_case c =
                chunk(std::string("queries_") + names[static_cast<int>(q)] + "_keys_" + names[static_cast<int>(kv)], 40,
                      67, {8, 40});
            c.q_layout = q;
            c.kv_layout = kv;
            c.n_batch = 2;
            c.segments.push_back(rows(0, 50, 40, 3, {2, 30}, 1));
            list.push_back(c);
        }
    }
}

// What a server sends: decode rows and parts of prompts in one call, cells anywhere.
void add_mixed_calls(case_list & list) {
    test_case server = chunk("server_ubatch", 0, 230, k_dense);
    server.n_kv = 1200;
    server.segments = {rows(0, 1, 170, 0, k_dense),      rows(1, 1, 63, 171, k_dense),
                       rows(2, 128, 0, 300, {8, 64}),    rows(130, 33, 200, 500, {8, 64}),
                       rows(163, 20, 233, 500, k_dense), rows(183, 1, 64, 800, {8, 16}),
                       rows(184, 46, 0, 1000, {0, 1})};
    list.push_back(server);

    test_case streams = chunk("three_streams", 0, 100, k_dense);
    streams.n_batch = 3;
    streams.n_kv = 400;
    streams.segments = {rows(0, 100, 0, 0, {8, 32}), rows(0, 40, 300, 20, {8, 32}, 1), rows(60, 1, 399, 0, k_dense, 1),
                        rows(10, 1, 5, 7, k_dense, 2)};
    list.push_back(streams);

    test_case untouched = chunk("most_rows_in_no_segment", 0, 200, k_dense);
    untouched.segments = {rows(77, 3, 50, 11, {4, 10}), rows(199, 1, 0, 199, k_dense)};
    list.push_back(untouched);

    for (const cell_order order : {cell_order::shuffled, cell_order::two_pieces}) {
        const std::string name = order == cell_order::shuffled ? "shuffled" : "two_pieces";
        test_case c = chunk("cells_" + name, 300, 90, {8, 64});
        c.n_kv = 500;
        c.segments[0].order = order;
        list.push_back(c);
        c.name = "dense_cells_" + name;
        c.segments[0].rows.kept = k_dense;
        c.k_type = c.v_type = dtype::q8_0;
        list.push_back(c);
    }
    test_case both = chunk("masked_and_ranked_rows", 0, 120, k_dense);
    both.n_kv = 300;
    both.mask = mask_kind::random;
    both.segments = {rows(0, 30, 10, 100, {8, 16}), masked_rows(30, 50), rows(80, 40, 100, 150, k_dense)};
    list.push_back(both);
}

void add_masks(case_list & list) {
    struct named_mask {
        mask_kind kind;
        const char * name;
    };
    for (const auto & [kind, name] : {named_mask{mask_kind::causal, "causal"},
                                      {mask_kind::random, "random"},
                                      {mask_kind::sparse, "sparse"},
                                      {mask_kind::alibi, "alibi"},
                                      {mask_kind::all_dropped, "all_dropped"}}) {
        for (const int64_t n : {1, 17, 75, 130}) {
            test_case c = chunk(std::string("mask_") + name + "_" + number(n), 140, n, k_dense);
            c.segments = {masked_rows(0, n)};
            c.mask = kind;
            c.alibi_slopes = kind == mask_kind::alibi;
            c.kv_layout = n == 75 ? layout::padded : layout::token_major;
            list.push_back(c);
            if (n == 17 || n == 75) {
                c.name += "_per_head_and_batch";
                c.n_batch = 2;
                c.mask_per_head = true;
                c.segments = {masked_rows(0, n / 2), masked_rows(n / 2 + 3, n / 3), masked_rows(3, n / 2, 1)};
                list.push_back(c);
                c.name += "_broadcast";
                c.mask_per_batch = false;
                list.push_back(c);
            }
        }
    }
    test_case gap = chunk("mask_far_gap", 2400, 40, k_dense);
    gap.segments = {masked_rows(0, 40)};
    gap.mask = mask_kind::far_gap;
    list.push_back(gap);
    test_case sinks = chunk("mask_all_dropped_sink_logits", 10, 20, k_dense);
    sinks.segments = {masked_rows(0, 20)};
    sinks.mask = mask_kind::sparse;
    sinks.sink_logits = true;
    list.push_back(sinks);
}

void add_options(case_list & list) {
    for (int bits = 1; bits < 16; ++bits) {
        test_case c = chunk("options_" + number(bits), 60, 90, {8, 48});
        c.sink_logits = (bits & 1) != 0;
        c.softcap = (bits & 2) != 0 ? 5.0f : 0.0f;
        c.dense_heads = (bits & 4) != 0;
        c.lse = (bits & 8) == 0;
        c.query_gain = 3;
        list.push_back(c);
        c.name += "_masked";
        c.segments = {masked_rows(0, 90)};
        c.mask = mask_kind::alibi;
        c.alibi_slopes = true;
        c.dense_heads = false;
        list.push_back(c);
    }
    for (const float gain : {0.0f, 1e-3f, 20.0f, 200.0f}) {
        test_case c =
            chunk("query_gain_" + number(static_cast<int64_t>(gain * 1000)) + "_thousandths", 30, 100, {8, 48});
        c.query_gain = gain;
        list.push_back(c);
    }
    for (const float factor : {-1.0f, 0.0f}) {
        test_case c = chunk(factor < 0 ? "scale_negative" : "scale_zero", 30, 100, {8, 48});
        c.scale_factor = factor;
        list.push_back(c);
        c.name += "_softcap";
        c.softcap = 4;
        list.push_back(c);
    }
    // Rows that drop the loud key share tiles with rows that keep it: its logit must not become their maximum.
    for (const int64_t key : {9, 40, 70}) {
        for (const band & kept : {band{4, 12}, band{0, 50}}) {
            test_case c = chunk("loud_key_" + number(key) + "_window_" + number(kept.n_window), 0, 150, kept);
            c.loud_key = key;
            list.push_back(c);
        }
    }
    test_case cap = chunk("softcap_50_as_gemma", 100, 80, {8, 64});
    cap.softcap = 50;
    cap.query_gain = 30;
    cap.d_qk = cap.d_v = 256;
    list.push_back(cap);
}

// Counts and offsets that do not fit 16 or 32 bits.
void add_large(case_list & list) {
    test_case tall = chunk("rows_70000", 0, 70000, {8, 64});
    tall.n_head = tall.n_head_kv = 1;
    tall.d_qk = tall.d_v = 16;
    tall.row_step = 2311;
    list.push_back(tall);
    test_case heads = chunk("heads_66000", 3, 2, k_dense);
    heads.n_head = 66000;
    heads.n_head_kv = 33000;
    heads.d_qk = heads.d_v = 16;
    list.push_back(heads);
    test_case far = chunk("offsets_past_2_31", 10, 9, {2, 7});
    far.q_layout = far.kv_layout = layout::huge;
    list.push_back(far);
    far.name = "offsets_past_2_31_masked";
    far.segments = {masked_rows(0, 9)};
    far.mask = mask_kind::random;
    far.k_type = far.v_type = dtype::q8_0;
    list.push_back(far);
}

int64_t from_environment(const char * name, int64_t otherwise) {
    const char * text = std::getenv(name);
    return text != nullptr && *text != 0 ? std::strtoll(text, nullptr, 10) : otherwise;
}

case_list every_case(int64_t n_random) {
    case_list list;
    add_lengths(list);
    add_chunks(list);
    add_dims(list);
    add_types(list);
    add_heads_and_layouts(list);
    add_mixed_calls(list);
    add_masks(list);
    add_options(list);
    add_large(list);
    for (size_t i = 0; i < list.size(); ++i) {
        list[i].seed = i + 1;
    }
    for (int64_t i = 0; i < n_random; ++i) {
        list.push_back(random_case(test_seed(), i));
    }
    return list;
}

bool reduced() {
    return from_environment("TMX_TEST_REDUCED", 0) != 0;
}

}  // namespace

double case_work(const test_case & c) {
    double pairs = 0;
    for (const case_segment & segment : c.segments) {
        const auto n_rows = static_cast<double>(segment.rows.row_end - segment.rows.row_begin);
        pairs += segment.rows.masked ? n_rows * static_cast<double>(c.n_kv)
                                     : n_rows * (static_cast<double>(segment.rows.rank_begin) + n_rows / 2);
    }
    return pairs * static_cast<double>(c.n_head) * static_cast<double>(c.d_qk + c.d_v);
}

uint64_t test_seed() {
    return static_cast<uint64_t>(from_environment("TMX_TEST_SEED", 20250711));
}

std::vector<test_case> all_cases() {
    case_list list = every_case(from_environment("TMX_TEST_RANDOM", reduced() ? 12 : 60));
    if (reduced()) {
        std::erase_if(list, [](const test_case & c) { return case_work(c) > 6e6; });
    }
    return list;
}

std::vector<test_case> cases_named(const std::vector<std::string> & names) {
    const case_list list = every_case(20);
    case_list result;
    for (const std::string & name : names) {
        const auto found = std::find_if(list.begin(), list.end(), [&](const test_case & c) { return c.name == name; });
        if (found == list.end()) {
            throw std::out_of_range("no test case is named " + name);
        }
        result.push_back(*found);
    }
    return result;
}

std::string rerun_line(const test_case & c, const char * kernel) {
    char text[256];
    std::snprintf(text, sizeof text,
                  "TMX_TEST_SEED=%llu TMX_TEST_KERNEL=%s bin/test_kernel_conformance --gtest_filter='*/%s'",
                  static_cast<unsigned long long>(test_seed()), kernel, c.name.c_str());
    return text;
}

}  // namespace tmx::test
