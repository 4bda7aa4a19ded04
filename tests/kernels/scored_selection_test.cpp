// What means, prism and xattention keep, against their oracles; TMX_TEST_SHAPES sets how many random layers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "scored_layer.h"
#include "scored_oracle.h"
#include "scored_rules.h"
#include "tested_kernels.h"
#include "trianglemix/selection.h"

namespace tmx::test {
namespace {

struct counts {
    int64_t blocks = 0;  // that are not forced
    int64_t unsure = 0;
};

std::string text_of(const asked & a, const layer_shape & shape) {
    std::ostringstream out;
    out << selection_method_of(a.rule.method).name;
    for (const double value : a.rule.values) {
        out << " " << value;
    }
    out << ", " << shape.text() << (a.options.arithmetic == precision::fast ? " fast" : "");
    return out.str();
}

double value_of(const selection_rule & rule, const char * name) {
    const auto parameters = selection_method_of(rule.method).parameters;
    for (size_t i = 0; i < parameters.size(); ++i) {
        if (parameters[i].name == name) {
            return rule.values[i];
        }
    }
    return -1;
}

// Blocks of a tile that stay whatever their scores.
std::vector<bool> forced_blocks(const tile_ranks & rows, bool sinks_and_window) {
    const int64_t last = (rows.end - 1) / 128;
    std::vector<bool> forced;
    for (int64_t block = 0; block <= last; ++block) {
        const bool mandatory = block == 0 || block >= rows.begin / 128;
        forced.push_back(mandatory || (sinks_and_window && (block < 2 || last - block < 4)));
    }
    return forced;
}

std::vector<verdict> expected(const scored_layer & layer, const asked & a, int64_t head, int64_t tile,
                              const std::vector<std::vector<block_scores>> & prism) {
    const std::string name(selection_method_of(a.rule.method).name);
    const bool reference = value_of(a.rule, "reference") != 0;
    const double keep = value_of(a.rule, "keep");
    const tile_ranks rows = ranks_of_tile(layer.shape, tile);
    budget_question question;
    question.forced = forced_blocks(rows, reference && name == "means");
    if (name == "means") {
        const int64_t key_head = head / (layer.shape.n_head / layer.shape.n_head_kv);
        question.scores = means_scores(layer, key_head, tile, reference);
        return keep > 0 ? by_share(question, keep) : by_alpha(question, value_of(a.rule, "alpha"));
    }
    if (name == "xattention") {
        question.scores = xattention_scores(layer, head, tile, static_cast<int64_t>(value_of(a.rule, "stride")),
                                            reference, a.options.arithmetic == precision::fast);
        if (keep > 0) {
            return by_share(question, keep);
        }
        return by_mass(question, question.forced.size() < 4 && !reference ? 1 : value_of(a.rule, "tau"));
    }
    const block_scores & fast = prism[static_cast<size_t>(tile)][0];
    const block_scores & slow = prism[static_cast<size_t>(tile)][1];
    if (keep > 0) {
        for (size_t block = 0; block < fast.size(); ++block) {
            question.scores.push_back(fast[block].value > slow[block].value ? fast[block] : slow[block]);
            question.scores.back().tolerance = std::max(fast[block].tolerance, slow[block].tolerance);
        }
        return by_share(question, keep);
    }
    question.scores = fast;
    const std::vector<verdict> by_fast = by_mass_before(question, value_of(a.rule, "p"));
    question.scores = slow;
    std::vector<verdict> both = by_mass_before(question, value_of(a.rule, "p"));
    for (size_t block = 0; block < both.size(); ++block) {
        if (by_fast[block] == verdict::kept || both[block] == verdict::dropped) {
            both[block] = by_fast[block];
        }
    }
    return both;
}

void check(const scored_layer & layer, const asked & a, counts & count) {
    const block_bitmap bits = bits_of(layer, a, 2);
    const bool is_prism = selection_method_of(a.rule.method).name == "prism";
    const bool by_group = selection_method_of(a.rule.method).name == "means";
    std::vector<std::vector<block_scores>> prism;
    for (int64_t head = 0; head < layer.args.n_head; ++head) {
        if (is_prism) {
            prism = prism_scores(layer, head, a.options.rotary, value_of(a.rule, "reference") != 0);
        }
        const int64_t in_group = head % (layer.args.n_head / layer.args.n_head_kv);
        for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
            if (by_group && in_group > 0) {
                ASSERT_TRUE(std::equal(bits.of(head, tile), bits.of(head, tile) + bits.shape.n_words(),
                                       bits.of(head - 1, tile)))
                    << text_of(a, layer.shape) << ": heads of a group differ";
                continue;
            }
            const std::vector<verdict> verdicts = expected(layer, a, head, tile, prism);
            for (size_t block = 0; block < verdicts.size(); ++block) {
                const bool kept = bits.keeps(head, tile, static_cast<int64_t>(block));
                count.blocks++;
                count.unsure += verdicts[block] == verdict::unsure ? 1 : 0;
                ASSERT_TRUE(verdicts[block] == verdict::unsure || kept == (verdicts[block] == verdict::kept))
                    << text_of(a, layer.shape) << ": head " << head << " tile " << tile << " block " << block
                    << (kept ? " is kept" : " is dropped");
            }
        }
    }
}

class draw {
  public:
    explicit draw(uint64_t seed) : random_(seed) {}

    int64_t below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
    template <class T>
    T one_of(std::initializer_list<T> list) {
        return list.begin()[below(static_cast<int64_t>(list.size()))];
    }

  private:
    std::mt19937_64 random_;
};

layer_shape random_shape(draw & random, uint64_t seed) {
    layer_shape s;
    s.n_head_kv = random.one_of<int64_t>({1, 1, 2, 3});
    s.n_head = s.n_head_kv * random.one_of<int64_t>({1, 2, 4, 7});
    s.d = random.one_of<int64_t>({16, 32, 64, 64, 96, 128});
    s.n_rows = 1 + random.below(random.one_of<int64_t>({20, 200, 500}));
    s.rank_begin = random.one_of<int64_t>({0, 128 * random.below(8), random.below(900)});
    s.k_type = static_cast<dtype>(random.below(5));
    if (block_elems(s.k_type) > 1) {
        s.d = (s.d + 31) / 32 * 32;
    }
    s.shuffled = random.below(3) == 0;
    s.key_begin = s.shuffled ? 0 : random.below(40);
    s.row_begin = random.below(3) == 0 ? 5 : 0;
    s.batch = random.below(4) == 0 ? 1 : 0;
    s.scale_factor = random.one_of<float>({1, 1, 0.5f, 3});
    s.seed = seed;
    return s;
}

asked random_rule(draw & random, int64_t d) {
    const double keep = random.one_of<double>({0, 0, 0, 0.1, 0.3, 0.5});
    const double reference = random.below(4) == 0 ? 1 : 0;
    switch (random.below(3)) {
        case 0:
            return rule_of("means", {random.one_of<double>({0, 0.05, 0.1, 0.3, 0.9}), keep, reference});
        case 1: {
            asked a = rule_of("prism", {random.one_of<double>({0, 0.5, 0.8, 0.95}), keep, reference});
            a.options.rotary.pairs = random.one_of({rotary_pairs::halves, rotary_pairs::neighbours});
            a.options.rotary.n_dims = random.below(2) == 0 ? d : d / 2;
            return a;
        }
        default: {
            // The published count of blocks, which loses the sink's mark, has a test of its own.
            const double stride = random.one_of<double>({4, 8, 16, 16, 32, 64});
            return rule_of("xattention", {stride, random.one_of<double>({0, 0.5, 0.8, 0.9}), keep, 0});
        }
    }
}

int64_t shapes_to_test() {
    const char * text = std::getenv("TMX_TEST_SHAPES");
    const char * reduced = std::getenv("TMX_TEST_REDUCED");
    return text != nullptr ? std::atoll(text) : reduced != nullptr ? 12 : 300;
}

TEST(scored_selection, keeps_what_the_oracle_keeps_on_random_layers) {
    draw random(20250711);
    counts count;
    const int64_t n_shapes = shapes_to_test();
    for (int64_t i = 0; i < n_shapes; ++i) {
        const layer_shape shape = random_shape(random, static_cast<uint64_t>(i + 1));
        const scored_layer layer(shape);
        for (int64_t rule = 0; rule < 2; ++rule) {
            asked a = random_rule(random, shape.d);
            const tested_kernel kernel =
                tested_kernels()[static_cast<size_t>(random.below(static_cast<int64_t>(tested_kernels().size())))];
            a.options.kernel = kernel.name;
            a.options.arithmetic = kernel.arithmetic;
            check(layer, a, count);
            if (HasFatalFailure()) {
                return;
            }
        }
    }
    EXPECT_LT(count.unsure, count.blocks / 50) << "the oracle leaves too much open";
}

}  // namespace
}  // namespace tmx::test
