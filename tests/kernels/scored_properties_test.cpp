// What holds of every method that scores blocks, whatever the numbers.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

#include "scored_layer.h"
#include "scored_rules.h"
#include "select/xattention.h"
#include "tested_kernels.h"

namespace tmx::test {
namespace {

// Each method with a budget from little to all, by its own threshold and by `keep`.
std::vector<std::vector<asked>> rising_budgets() {
    std::vector<std::vector<asked>> all;
    for (const double reference : {0, 1}) {
        std::vector<asked> means;
        for (const double alpha : {1.0, 0.9, 0.5, 0.2, 0.1, 0.01, 0.0}) {
            means.push_back(rule_of("means", {alpha, 0, reference}));
        }
        std::vector<asked> prism;
        std::vector<asked> xattention;
        for (const double share : {0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0}) {
            prism.push_back(rule_of("prism", {share, 0, reference}));
            xattention.push_back(rule_of("xattention", {16, share, 0, reference}));
        }
        all.insert(all.end(), {means, prism, xattention});
    }
    std::vector<asked> means;
    std::vector<asked> prism;
    std::vector<asked> xattention;
    for (const double keep : {0.01, 0.1, 0.25, 0.3, 0.5, 0.9, 1.0}) {
        means.push_back(rule_of("means", {0.5, keep, 0}));
        prism.push_back(rule_of("prism", {0.5, keep, 0}));
        xattention.push_back(rule_of("xattention", {8, 0.5, keep, 0}));
    }
    all.insert(all.end(), {means, prism, xattention});
    return all;
}

TEST(scored_properties, more_budget_keeps_a_superset_and_the_full_one_all) {
    for (const int64_t rank_begin : {0, 128, 1000}) {
        const scored_layer layer({.rank_begin = rank_begin, .n_rows = 1300, .k_type = dtype::q8_0});
        for (const std::vector<asked> & budgets : rising_budgets()) {
            block_bitmap less({4, {rank_begin, rank_begin + 1300}});
            int64_t least = std::numeric_limits<int64_t>::max();
            int64_t most = 0;
            for (const asked & a : budgets) {
                const block_bitmap bits = bits_of(layer, a, 2);
                for (size_t word = 0; word < bits.words.size(); ++word) {
                    EXPECT_EQ(less.words[word], less.words[word] & bits.words[word]);
                }
                least = std::min(least, kept_pairs(bits));
                most = std::max(most, kept_pairs(bits));
                less = bits;
            }
            EXPECT_EQ(most, 4 * kept_pairs(band{}, {rank_begin, rank_begin + 1300}));
            EXPECT_LT(least, most);
        }
    }
}

TEST(scored_properties, the_full_budget_gives_dense_attention_bit_for_bit) {
    constexpr uint8_t k_selected[] = {1};
    for (const char * method : {"means", "prism", "xattention"}) {
        for (const bool by_keep : {false, true}) {
            const std::vector<double> values = std::string(method) == "means"   ? std::vector<double>{0, 0, 0}
                                               : std::string(method) == "prism" ? std::vector<double>{1, 0, 0}
                                                                                : std::vector<double>{16, 1, 0, 0};
            asked a = rule_of(method, values);
            if (by_keep) {
                a.rule.values[std::string(method) == "xattention" ? 2 : 1] = 1;
            }
            scored_layer layer({.rank_begin = 300, .n_rows = 400});
            std::vector<float> dense(static_cast<size_t>(layer.args.n_q * layer.args.out_stride_row));
            std::vector<float> selected(dense.size());
            for (const tested_kernel & kernel : tested_kernels()) {
                cpu_context ctx;
                ctx.kernel = kernel.name;
                ctx.arithmetic = kernel.arithmetic;
                ctx.n_threads = 2;
                attention_segment segment = layer.segment;
                layer.args.out = dense.data();
                ASSERT_TRUE(attention_forward(layer.args, {&segment, 1}, ctx).ok());
                segment.kept = k_no_band;
                layer.args.out = selected.data();
                // Shared by the heads of a group, because lists per head cut rows into other tiles.
                const selection_request request{a.rule, k_selected, false, a.options.rotary};
                ASSERT_TRUE(selected_attention_forward(request, layer.args, {&segment, 1}, ctx, nullptr).ok());
                EXPECT_EQ(0, std::memcmp(dense.data(), selected.data(), dense.size() * sizeof(float)))
                    << method << " " << kernel.label();
            }
        }
    }
}

TEST(scored_properties, a_chunk_that_begins_on_a_block_selects_what_the_whole_does) {
    const layer_shape shape{.n_rows = 1500, .seed = 3};
    const scored_layer whole(shape);
    for (const asked & a :
         {rule_of("means", {0.9, 0, 0}), rule_of("means", {0.9, 0.3, 0}), rule_of("means", {0.9, 0, 1}),
          rule_of("xattention", {16, 0.5, 0, 0}), rule_of("xattention", {4, 0.5, 0.2, 0})}) {
        const block_bitmap all = bits_of(whole, a, 1);
        int64_t n_dropped = 0;
        for (const index_range & ranks : {index_range{0, 640}, index_range{640, 1500}, index_range{1408, 1500}}) {
            attention_segment chunk = whole.segment;
            chunk.row_begin = ranks.begin;
            chunk.row_end = ranks.end;
            chunk.rank_begin = ranks.begin;
            block_bitmap part({4, ranks});
            ASSERT_TRUE(select_blocks(a.rule, whole.args, chunk, 2, part, a.options).ok());
            for (int64_t head = 0; head < 4; ++head) {
                for (int64_t tile = 0; tile < part.shape.n_tiles(); ++tile) {
                    for (int64_t block = 0; block < blocks_of(part.shape.rows_of(tile)).end; ++block) {
                        const bool kept = part.keeps(head, tile, block);
                        EXPECT_EQ(all.keeps(head, tile + ranks.begin / 128, block), kept);
                        n_dropped += kept ? 0 : 1;
                    }
                }
            }
        }
        EXPECT_GT(n_dropped, 20);
    }
}

TEST(scored_properties, heads_do_not_see_each_other) {
    const scored_layer layer({.n_head = 6, .n_head_kv = 3, .rank_begin = 128, .n_rows = 900});
    for (const asked & a :
         {rule_of("means", {0.3, 0, 0}), rule_of("prism", {0.7, 0, 0}), rule_of("xattention", {16, 0.7, 0, 0})}) {
        const block_bitmap bits = bits_of(layer, a, 2);
        // The key heads in another order, by pointers: 1, then 2 (one group after the other).
        for (const int64_t first : {1, 2}) {
            attention_args args = layer.args;
            args.n_head_kv = 1;
            args.n_head = 2;
            args.q += 2 * first * args.q_stride_head;
            args.k = static_cast<const uint16_t *>(args.k) + first * args.k_stride_head;
            block_bitmap alone({2, {128, 1028}});
            ASSERT_TRUE(select_blocks(a.rule, args, layer.segment, 1, alone, a.options).ok());
            for (int64_t head = 0; head < 2; ++head) {
                const auto n_words = static_cast<size_t>(alone.shape.n_tiles() * alone.shape.n_words());
                EXPECT_EQ(0, std::memcmp(bits.of(2 * first + head, 0), alone.of(head, 0), n_words * sizeof(uint32_t)));
            }
        }
        // Query heads of one group change places.
        if (selection_method_of(a.rule.method).per_query_head) {
            attention_args args = layer.args;
            args.n_head_kv = 1;
            args.n_head = 2;
            args.q += args.q_stride_head;
            args.q_stride_head = -args.q_stride_head;
            block_bitmap swapped({2, {128, 1028}});
            ASSERT_TRUE(select_blocks(a.rule, args, layer.segment, 1, swapped, a.options).ok());
            const auto n_words = static_cast<size_t>(swapped.shape.n_tiles() * swapped.shape.n_words());
            EXPECT_EQ(0, std::memcmp(bits.of(0, 0), swapped.of(1, 0), n_words * sizeof(uint32_t)));
            EXPECT_EQ(0, std::memcmp(bits.of(1, 0), swapped.of(0, 0), n_words * sizeof(uint32_t)));
        }
    }
}

TEST(scored_properties, the_same_bits_for_any_number_of_threads) {
    const scored_layer layer({.n_head = 7, .n_head_kv = 1, .rank_begin = 77, .n_rows = 1300, .shuffled = true});
    for (const std::vector<asked> & budgets : rising_budgets()) {
        const block_bitmap one = bits_of(layer, budgets[2], 1);
        for (const int32_t n_threads : {2, 3, 8}) {
            EXPECT_EQ(one.words, bits_of(layer, budgets[2], n_threads).words);
        }
    }
}

// Antidiagonals with S = 2 and one dimension, worked by hand: Q = 1 2 3 4, K = 1 0 2 1 give the logits 4 and 11 of the
// second group, halved, and its masses 0.0293 and 0.9707. Here the two key groups lie in blocks 1 and 2, the queries in
// block 3, and all other keys are out of reach.
TEST(scored_properties, antidiagonals_as_worked_by_hand) {
    constexpr int64_t k_stride = 4;
    constexpr int64_t k_begin = 512 - k_stride;
    scored_layer layer(
        {.n_head = 1, .n_head_kv = 1, .d = 16, .rank_begin = k_begin, .n_rows = k_stride, .k_type = dtype::f32});
    std::vector<float> q(k_stride * 16);
    std::vector<float> k(512 * 16);
    for (int64_t rank = 0; rank < 512; ++rank) {
        k[static_cast<size_t>(rank * 16 + 1)] = -50;
    }
    const auto key = [&](int64_t rank, float value) { k[static_cast<size_t>(rank * 16)] = value; };
    for (int64_t rank : {128, 129, 130, 131, 256, 257, 258, 259}) {
        k[static_cast<size_t>(rank * 16 + 1)] = 0;
    }
    key(128, 1);
    key(129, 0);
    key(256, 2);
    key(257, 1);
    q[3 * 16] = 4;
    q[2 * 16] = 3;
    for (size_t row = 0; row < k_stride; ++row) {
        q[row * 16 + 1] = 1;
    }
    layer.args.q = q.data();
    layer.args.k = k.data();
    layer.args.scale = 2;
    const auto kept = [&](double tau) {
        return *bits_of(layer, rule_of("xattention", {k_stride, tau, 0, 0}), 1).of(0, 0);
    };
    EXPECT_EQ(0b1101u, kept(0.97));
    EXPECT_EQ(0b1111u, kept(0.971));
}

// Two rows with base-2 logits 3 0 -1 2 and 2 1 -2 1 for blocks 2 to 5, worked by hand: E = 1.5 0.375 0.094 0.75 with
// the tile's maximum; with each row's own 2 0.625 0.125 1.
TEST(scored_properties, votes_as_worked_by_hand) {
    scored_layer layer({.n_head = 1, .n_head_kv = 1, .d = 16, .rank_begin = 1278, .n_rows = 2, .k_type = dtype::f32});
    const float logits[2][4] = {{3, 0, -1, 2}, {2, 1, -2, 1}};
    std::vector<float> q(2 * 16);
    std::vector<float> k(1280 * 16);
    for (int64_t rank = 0; rank < 1280; ++rank) {
        const int64_t block = rank / 128;
        k[static_cast<size_t>(rank * 16 + (block >= 2 && block < 6 ? block - 2 : 4))] = 1;
    }
    for (size_t row = 0; row < 2; ++row) {
        for (size_t i = 0; i < 4; ++i) {
            q[row * 16 + i] = logits[row][i] / 1.44269504f;
        }
        q[row * 16 + 4] = -40;
    }
    layer.args.q = q.data();
    layer.args.k = k.data();
    layer.args.scale = 1;
    const auto kept = [&](double alpha, double reference) {
        return *bits_of(layer, rule_of("means", {alpha, 0, reference}), 1).of(0, 0) & 0b111100u;
    };
    EXPECT_EQ(0b101100u, kept(0.1, 1));
    EXPECT_EQ(0b100100u, kept(0.49, 1));
    EXPECT_EQ(0b000100u, kept(0.51, 1));
    EXPECT_EQ(0b111100u, kept(0.06, 0));
    EXPECT_EQ(0b101100u, kept(0.07, 0));
    EXPECT_EQ(0b101100u, kept(0.31, 0));
    EXPECT_EQ(0b100100u, kept(0.32, 0));
}

// The published chunks: 2048 tokens of a prompt of 128K, 8192 of 32K, 16384 of 16K.
TEST(scored_properties, where_the_published_code_loses_the_sinks_mark) {
    EXPECT_EQ(2048, published_chunk(131072));
    EXPECT_EQ(8192, published_chunk(32768));
    EXPECT_EQ(16384, published_chunk(16384));
    EXPECT_EQ(4096, published_chunk(3000));
    EXPECT_EQ(2048, published_chunk(300));
    const xattention_values published{16, 0.9, 0, true};
    const auto loses = [&](const xattention_values & values, index_range ranks, int64_t first) {
        return loses_sink_mark(values, ranks, {first, first + 128});
    };
    EXPECT_FALSE(loses(published, {0, 131072}, 0));
    EXPECT_TRUE(loses(published, {0, 131072}, 128));
    EXPECT_TRUE(loses(published, {0, 131072}, 2048 - 128));
    EXPECT_FALSE(loses(published, {0, 131072}, 2048));
    EXPECT_FALSE(loses(published, {128, 131072}, 256));
    EXPECT_FALSE(loses({16, 0.9, 0, false}, {0, 131072}, 128));
}

// Chunks that lie on the grid have no partial groups, so apart from that mark both rules say the same.
TEST(scored_properties, the_published_xattention_keeps_more_in_its_first_chunk) {
    const layer_shape shape{.n_rows = 1280, .seed = 5};
    const scored_layer layer(shape);
    const asked ours = rule_of("xattention", {16, 0.5, 0, 0});
    const asked published = rule_of("xattention", {16, 0.5, 0, 1});
    const block_bitmap first_ours = bits_of(layer, ours, 1);
    const block_bitmap first_published = bits_of(layer, published, 1);
    attention_segment second = layer.segment;
    second.row_begin = second.rank_begin = 512;
    block_bitmap second_ours({4, {512, 1280}});
    block_bitmap second_published({4, {512, 1280}});
    ASSERT_TRUE(select_blocks(ours.rule, layer.args, second, 1, second_ours).ok());
    ASSERT_TRUE(select_blocks(published.rule, layer.args, second, 1, second_published).ok());
    EXPECT_EQ(second_ours.words, second_published.words);
    for (int64_t head = 0; head < 4; ++head) {
        for (int64_t tile = 4; tile < 10; ++tile) {
            const uint32_t fewer = *first_ours.of(head, tile);
            const uint32_t more = *first_published.of(head, tile);
            EXPECT_EQ(fewer, fewer & more);
            EXPECT_EQ(fewer, *second_ours.of(head, tile - 4));
        }
    }
    EXPECT_GT(kept_pairs(first_published), kept_pairs(first_ours));
}

TEST(scored_properties, refuses_what_it_must_know_and_is_not_told) {
    const scored_layer layer({});
    block_bitmap bits({4, {0, 300}});
    const asked a = rule_of("prism", {0.9, 0, 0});
    EXPECT_EQ(status_code::invalid_argument, select_blocks(a.rule, layer.args, layer.segment, 1, bits).code());
    selection_options options = a.options;
    options.kernel = "abacus";
    EXPECT_EQ(status_code::invalid_argument, select_blocks(a.rule, layer.args, layer.segment, 1, bits, options).code());
}

// The numbers of a tile are none: it keeps everything, and nothing breaks.
TEST(scored_properties, queries_that_are_no_numbers_keep_all) {
    const scored_layer layer({.n_rows = 900});
    std::vector<float> q(static_cast<size_t>(layer.args.n_q * layer.args.q_stride_row),
                         std::numeric_limits<float>::quiet_NaN());
    attention_args args = layer.args;
    args.q = q.data();
    for (const char * method : {"means", "prism", "xattention"}) {
        block_bitmap bits({4, {0, 900}});
        asked a = rule_of(method, {});
        ASSERT_TRUE(select_blocks(a.rule, args, layer.segment, 2, bits, a.options).ok());
        EXPECT_EQ(kept_pairs(bits), 4 * kept_pairs(band{}, {0, 900})) << method;
    }
}

}  // namespace
}  // namespace tmx::test
