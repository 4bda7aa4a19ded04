// The probe with one layer or head triangle, against a double-precision model that leaves pairs out by an `if`.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "probe/model_file.h"
#include "probe/probe_model.h"
#include "profile/unit_set.h"
#include "reference_model.h"
#include "runtime/backend.h"
#include "runtime/failure.h"
#include "tiny_gguf.h"

namespace tmx::test {
namespace {

const triangle_shape k_shape{3, 9, 5};

void load_ggml() {
    static const backend loaded({default_backend_paths().llama_bin, ""}, false);
}

std::vector<int> tokens_of(int begin, int end, int n_vocab) {
    std::vector<int> tokens;
    for (int i = begin; i < end; ++i) {
        tokens.push_back((i * i * 7 + i * 3 + 11) % n_vocab);
    }
    return tokens;
}

tiny_shape of(const char * architecture, int n_layer, int n_head, int n_head_kv, bool tied) {
    tiny_shape shape;
    shape.architecture = architecture;
    shape.n_layer = n_layer;
    shape.n_head = n_head;
    shape.n_head_kv = n_head_kv;
    shape.tied = tied;
    return shape;
}

// Every layer, and every head.
std::vector<unit> units_of(const tiny_shape & shape) {
    model_shape model;
    model.n_layer = shape.n_layer;
    model.n_head = shape.n_head;
    std::vector<unit> units = all_units(model, false);
    const std::vector<unit> heads = all_units(model, true);
    units.insert(units.end(), heads.begin(), heads.end());
    return units;
}

struct ablation_case {
    const char * name;
    tiny_shape shape;
    int n_prompt;
    int n_following;
    int64_t rows_per_block;
    int64_t n_last;
};

class Ablation : public ::testing::TestWithParam<ablation_case> {};

TEST_P(Ablation, EqualsTheDefinition) {
    load_ggml();
    const ablation_case & c = GetParam();
    const tiny_model tiny = make_tiny_model(c.shape, 1);
    const int n = c.n_prompt + c.n_following;
    const std::vector<int> prompt = tokens_of(0, c.n_prompt, c.shape.n_vocab);
    const std::vector<int> continuation = tokens_of(c.n_prompt, n, c.shape.n_vocab);
    const std::vector<int> all = tokens_of(0, n, c.shape.n_vocab);
    const model_file file(write_tiny_gguf(tiny, c.name));
    probe_options options;
    options.rows_per_block = c.rows_per_block;
    options.shape = {k_shape.n_sink, k_shape.n_window, c.n_last};
    probe_model probe(file, options);

    const auto compare = [&](const logit_rows & found, const reference_model & expected, const std::string & what) {
        ASSERT_EQ(found.size(), static_cast<size_t>(c.n_following) + 1) << what;
        double error = 0;
        double size = 0;
        for (size_t r = 0; r < found.size(); ++r) {
            const std::vector<double> wanted = expected.logits_behind(c.n_prompt - 1 + static_cast<int>(r));
            for (size_t t = 0; t < wanted.size(); ++t) {
                error += std::pow(static_cast<double>(found[r][t]) - wanted[t], 2);
                size += std::pow(wanted[t], 2);
            }
        }
        // Some hundred roundings of relative size 6e-8, squared: (100 * 6e-8)^2 = 4e-11. Leaving a pair out that must
        // stay moves logits by percents.
        EXPECT_LT(error / size, 1e-10) << c.name << ", " << what;
    };
    compare(probe.dense(prompt, continuation), reference_model(tiny, all), "dense");
    for (const unit & u : units_of(c.shape)) {
        const reference_model expected(tiny, all, [&](int layer, int head, int i, int j) {
            const bool changed = layer == u.layer && (u.head < 0 || head == u.head);
            return !changed || i >= c.n_prompt - c.n_last || j < k_shape.n_sink || i - j < k_shape.n_window;
        });
        compare(probe.ablated(u), expected, name_of(u) + " alone");
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, Ablation,
                         ::testing::Values(ablation_case{"ablate_llama", of("llama", 3, 4, 2, false), 60, 7, 512, 5},
                                           ablation_case{"ablate_tiles", of("llama", 2, 3, 1, true), 130, 3, 32, 5},
                                           ablation_case{"ablate_no_last", of("llama", 2, 2, 2, true), 70, 4, 24, 0},
                                           ablation_case{"ablate_qwen2", of("qwen2", 3, 4, 2, true), 40, 16, 33, 5},
                                           ablation_case{"ablate_qwen3", of("qwen3", 2, 4, 1, false), 66, 1, 64, 5},
                                           ablation_case{"ablate_alone", of("qwen3", 2, 2, 1, true), 33, 0, 7, 5}),
                         [](const auto & test) { return std::string(test.param.name); });

TEST(AblationProbe, UnitsInAnyOrderGiveTheSameBits) {
    load_ggml();
    const tiny_shape shape = of("llama", 4, 2, 1, false);
    const tiny_model tiny = make_tiny_model(shape, 2);
    const model_file file(write_tiny_gguf(tiny, "ablate_order"));
    probe_options options;
    options.shape = k_shape;
    probe_model probe(file, options);
    const std::vector<int> prompt = tokens_of(0, 80, shape.n_vocab);
    const std::vector<int> continuation = tokens_of(80, 84, shape.n_vocab);
    const logit_rows dense = probe.dense(prompt, continuation);
    std::vector<logit_rows> upwards;
    for (const unit & u : units_of(shape)) {
        upwards.push_back(probe.ablated(u));
        EXPECT_EQ(upwards.back().size(), dense.size());
    }
    std::vector<unit> units = units_of(shape);
    for (size_t i = units.size(); i-- > 0;) {
        EXPECT_EQ(probe.ablated(units[i]), upwards[i]) << name_of(units[i]);
    }
    EXPECT_NE(upwards[0], dense);
    // Gradients in between change nothing.
    static_cast<void>(probe.gradient(prompt));
    EXPECT_EQ(probe.dense(prompt, continuation), dense);
    EXPECT_EQ(probe.ablated({1, -1}), upwards[1]);
}

// Entering the model at any layer is the whole forward pass again, if nothing is left out.
TEST(AblationProbe, ATriangleThatKeepsEverythingIsDense) {
    load_ggml();
    const tiny_shape shape = of("qwen2", 3, 4, 2, true);
    const model_file file(write_tiny_gguf(make_tiny_model(shape, 3), "ablate_nothing"));
    probe_options options;
    options.shape = {0, 200, 5};
    probe_model probe(file, options);
    const logit_rows dense = probe.dense(tokens_of(0, 90, shape.n_vocab), tokens_of(90, 93, shape.n_vocab));
    for (const unit & u : units_of(shape)) {
        EXPECT_EQ(probe.ablated(u), dense) << name_of(u);
    }
}

TEST(AblationProbe, StopsAndReportsItsProgress) {
    load_ggml();
    const tiny_shape shape = of("llama", 4, 2, 1, false);
    const model_file file(write_tiny_gguf(make_tiny_model(shape, 3), "ablate_stop"));
    std::atomic<bool> stop{false};
    std::vector<double> shares;
    probe_options options;
    options.shape = k_shape;
    options.stop = &stop;
    options.progress = [&](double share) { shares.push_back(share); };
    probe_model probe(file, options);
    static_cast<void>(probe.dense(tokens_of(0, 30, 50), {}));
    EXPECT_EQ(shares, (std::vector<double>{0, 0.25, 0.5, 0.75}));
    shares.clear();
    static_cast<void>(probe.ablated({2, -1}));
    EXPECT_EQ(shares, (std::vector<double>{0, 0.5})) << "layers below are not computed";
    probe.set_progress([&](double share) { stop = share > 0.3; });
    EXPECT_THROW(static_cast<void>(probe.ablated({0, 1})), interrupted);
}

}  // namespace
}  // namespace tmx::test
