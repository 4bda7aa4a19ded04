// What means, prism and xattention keep, against their oracles; TMX_TEST_SHAPES sets how many random layers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "scored_expectation.h"
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

void check(const scored_layer & layer, const asked & a, counts & count) {
    const block_bitmap bits = bits_of(layer, a, 2);
    const bool by_group = selection_method_of(a.rule.method).name == "means";
    for (int64_t head = 0; head < layer.args.n_head; ++head) {
        const expected_blocks expected(layer, a, head);
        const int64_t in_group = head % (layer.args.n_head / layer.args.n_head_kv);
        for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
            if (by_group && in_group > 0) {
                ASSERT_TRUE(std::equal(bits.of(head, tile), bits.of(head, tile) + bits.shape.n_words(),
                                       bits.of(head - 1, tile)))
                    << text_of(a, layer.shape) << ": heads of a group differ";
                continue;
            }
            const std::vector<verdict> verdicts = expected.of_tile(tile);
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
