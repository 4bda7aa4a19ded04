// Recall against weights computed one by one, in double precision.
#include "recall/layer_recall.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "random_capture.h"
#include "recall/head_search.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr int64_t k_tokens = 700;
constexpr int64_t k_block = 128;

// Dense attention's weights of a row: [key].
std::vector<double> weights(const captured_layer & layer, float scale, int64_t head, int64_t row) {
    std::vector<double> all;
    double sum = 0;
    for (int64_t key = 0; key <= row; ++key) {
        double logit = 0;
        for (int64_t i = 0; i < k_dim; ++i) {
            logit += double{layer.q[static_cast<size_t>((row * k_heads + head) * k_dim + i)]} *
                     layer.k[static_cast<size_t>((key * k_kv_heads + head / (k_heads / k_kv_heads)) * k_dim + i)];
        }
        all.push_back(std::exp(scale * logit));
        sum += all.back();
    }
    for (double & weight : all) {
        weight /= sum;
    }
    return all;
}

// Mean recall where a row keeps a key if `keeps` says so.
template <class Keeps>
double recall_by_hand(const captured_layer & layer, float scale, Keeps keeps) {
    double sum = 0;
    for (int64_t head = 0; head < k_heads; ++head) {
        for (int64_t row = 0; row < k_tokens; ++row) {
            const std::vector<double> all = weights(layer, scale, head, row);
            for (int64_t key = 0; key <= row; ++key) {
                sum += keeps(row, key) ? all[static_cast<size_t>(key)] : 0;
            }
        }
    }
    return sum / (k_heads * k_tokens);
}

selection_rule rule_of(const char * method, double first) {
    selection_rule rule = usual_rule(*find_selection_method(method));
    rule.values[0] = first;
    return rule;
}

TEST(layer_recall, of_a_band_and_of_blocks_is_that_of_their_keys) {
    const capture_facts facts = facts_of({0}, k_tokens);
    const captured_layer layer = random_layer(k_tokens, 3);
    layer_recall measured(facts, layer, {.n_threads = 2, .n_ubatch = 256});
    const recalled window = measured.of_band({4, 100});
    EXPECT_NEAR(window.recall,
                recall_by_hand(layer, facts.scale, [](int64_t row, int64_t key) { return key < 4 || row - key < 100; }),
                1e-5);
    // Every second block, counted back from that of a tile's last row; the first one, and the tile's own.
    const recalled blocks = measured.of_rule(rule_of("stride", 2));
    const auto kept = [](int64_t row, int64_t key) {
        const int64_t tile_begin = row / k_block * k_block;
        const int64_t own = std::min(tile_begin + k_block, k_tokens) - 1;
        return key / k_block == 0 || key >= tile_begin || (own / k_block - key / k_block) % 2 == 0;
    };
    EXPECT_NEAR(blocks.recall, recall_by_hand(layer, facts.scale, kept), 1e-5);
    EXPECT_GT(blocks.error, 0.01);
    EXPECT_LT(blocks.density, 1);
    double sum = 0;
    for (const double each : blocks.by_head) {
        sum += each;
    }
    EXPECT_NEAR(sum / static_cast<double>(blocks.by_head.size()), blocks.recall, 1e-5) << "70 rows a decile";
}

TEST(layer_recall, of_everything_is_one) {
    layer_recall measured(facts_of({0}, k_tokens), random_layer(k_tokens, 3), {.n_threads = 2, .n_ubatch = 256});
    for (const recalled & all : {measured.of_rule(rule_of("means", 0)), measured.of_band({0, k_tokens})}) {
        EXPECT_NEAR(all.recall, 1, 1e-5);
        EXPECT_DOUBLE_EQ(all.density, 1);
        EXPECT_LT(all.error, 1e-5);
    }
}

TEST(layer_recall, oracle_keeps_its_share_with_the_fewest_blocks) {
    const capture_facts facts = facts_of({0}, k_tokens);
    const captured_layer layer = random_layer(k_tokens, 9);
    const std::vector<double> shares = {0.5, 0.8, 1};
    const std::vector<recalled> found = layer_recall(facts, layer, {.n_threads = 2}).of_oracle(shares);
    std::vector<double> pairs(shares.size());
    std::vector<double> masses(shares.size());
    for (int64_t head = 0; head < k_heads; ++head) {
        for (int64_t begin = 0; begin < k_tokens; begin += k_block) {
            const int64_t end = std::min(begin + k_block, k_tokens);
            std::vector<double> others(static_cast<size_t>(begin / k_block));
            double all = 0;
            double kept = 0;
            double own_pairs = 0;
            for (int64_t row = begin; row < end; ++row) {
                const std::vector<double> of_row = weights(layer, facts.scale, head, row);
                for (int64_t key = 0; key <= row; ++key) {
                    const double weight = of_row[static_cast<size_t>(key)];
                    all += weight;
                    const bool mandatory = key < k_block || key >= begin;
                    (mandatory ? kept : others[static_cast<size_t>(key / k_block)]) += weight;
                    own_pairs += mandatory ? 1 : 0;
                }
            }
            std::sort(others.rbegin(), others.rend());
            size_t taken = 0;
            for (size_t i = 0; i < shares.size(); ++i) {
                while (taken + 1 < others.size() && kept < shares[i] * all - 1e-9) {  // the last is block 0
                    kept += others[taken++];
                }
                masses[i] += kept;
                pairs[i] += own_pairs + static_cast<double>(taken) * k_block * static_cast<double>(end - begin);
            }
        }
    }
    for (size_t i = 0; i < shares.size(); ++i) {
        EXPECT_NEAR(found[i].recall, masses[i] / (k_heads * k_tokens), 1e-5) << shares[i];
        EXPECT_NEAR(found[i].density, pairs[i] / (k_heads * k_tokens * (k_tokens + 1) / 2.0), 2e-3) << shares[i];
        EXPECT_GE(found[i].recall, shares[i] - 1e-5);
    }
}

// Head 0 looks at the first 40 keys, the others at all alike.
captured_layer planted() {
    captured_layer layer = random_layer(k_tokens, 21);
    for (float & value : layer.q) {
        value *= 0.01f;
    }
    for (int64_t row = 0; row < k_tokens; ++row) {
        layer.q[static_cast<size_t>(row * k_heads * k_dim)] = 40;
        layer.k[static_cast<size_t>(row * k_kv_heads * k_dim)] = row < 40 ? 1 : 0;
    }
    return layer;
}

TEST(head_search, each_head_takes_what_keeps_the_most) {
    const scratch_capture file("planted");
    const scratch_capture other("other");
    write_capture(file.path, facts_of({1}, k_tokens), {planted()}, k_tokens);
    const std::vector<head_pattern> candidates = {{head_pattern::kind::a_shape, 48, 8},
                                                  {head_pattern::kind::a_shape, 0, 120}};
    const std::vector<searched_layer> found = search_heads({file.path, file.path}, candidates, {.n_threads = 2}, {});
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].layer, 1);
    EXPECT_EQ(found[0].best, (std::vector<size_t>{0, 1, 1, 1}));
    EXPECT_GT(found[0].scores[0], 0.95);
    EXPECT_NEAR(found[0].scores[3], 120.0 / (0.95 * k_tokens), 0.01) << "the last tenth of the rows";
    const std::vector<searched_layer> once = search_heads({file.path}, candidates, {.n_threads = 2}, {});
    for (size_t i = 0; i < once[0].scores.size(); ++i) {
        EXPECT_NEAR(once[0].scores[i], found[0].scores[i], 1e-12) << "the mean over two equal prompts";
    }
    write_capture(other.path, facts_of({2}, k_tokens), {planted()}, k_tokens);
    EXPECT_THROW(search_heads({file.path, other.path}, candidates, {}, {}), failure);
}

}  // namespace
}  // namespace tmx
