// The gradient probe against central differences in double precision, for every layer, head and section.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "nmse.h"
#include "probe/model_file.h"
#include "probe/probe_model.h"
#include "reference_model.h"
#include "runtime/backend.h"
#include "runtime/failure.h"
#include "tiny_gguf.h"

namespace tmx::test {
namespace {

// f32 arithmetic through a few layers, against a bar of 1e-3. A derivative is a chain of some hundred rounded
// operations of relative error 2^-24, cancellation costs two digits: 100 * 100 * 6e-8 would be 6e-4; seen are 2e-6.
constexpr double k_tolerance = 1e-4;

const triangle_shape k_shape{3, 9, 5};

void load_ggml() {
    static const backend loaded({default_backend_paths().llama_bin, ""}, false);
}

// The definition's words, not geometry.h's.
section section_of(int i, int j, int n) {
    if (j < k_shape.n_sink || i - j < k_shape.n_window) {
        return section::streaming;
    }
    return i >= n - k_shape.n_last ? section::last : section::middle;
}

std::vector<int> tokens_of(int n, int n_vocab) {
    std::vector<int> tokens;
    for (int i = 0; i < n; ++i) {
        tokens.push_back((i * i * 7 + i * 3 + 11) % n_vocab);
    }
    return tokens;
}

struct gradient_case {
    const char * name;
    tiny_shape shape;
    int n;
    int64_t rows_per_block;
    int n_threads;
};

class Gradient : public ::testing::TestWithParam<gradient_case> {};

TEST_P(Gradient, EqualsFiniteDifferences) {
    load_ggml();
    const gradient_case & c = GetParam();
    const tiny_model tiny = make_tiny_model(c.shape, 1);
    const std::vector<int> tokens = tokens_of(c.n, c.shape.n_vocab);
    reference_model reference(tiny, tokens);

    const model_file file(write_tiny_gguf(tiny, c.name));
    probe_options options;
    options.n_threads = c.n_threads;
    options.rows_per_block = c.rows_per_block;
    options.shape = k_shape;
    probe_model probe(file, options);
    const gradient_result result = probe.gradient(tokens);

    ASSERT_EQ(result.logits.size(), reference.logits().size());
    EXPECT_LT(nmse(result.logits, reference.logits()), 1e-10) << "logits";
    const auto best = std::max_element(reference.logits().begin(), reference.logits().end());
    EXPECT_EQ(result.target, best - reference.logits().begin());

    double worst = 0;
    for (int layer = 0; layer < c.shape.n_layer; ++layer) {
        for (int head = 0; head < c.shape.n_head; ++head) {
            head_sums expected{};
            std::array<int64_t, 3> n_pairs{};
            for (int i = 0; i < c.n; ++i) {
                for (int j = 0; j <= i; ++j) {
                    using what = reference_model::what;
                    const double d_a = reference.derivative(what::attention, layer, head, i, j, result.target);
                    const double d_s = reference.derivative(what::score, layer, head, i, j, result.target);
                    const double a = reference.attention(layer, head, i, j);
                    const size_t s = index_of(section_of(i, j, c.n));
                    expected[s] += {std::abs(d_a), std::abs(d_a * a), std::abs(d_s), a};
                    ++n_pairs[s];
                }
            }
            EXPECT_EQ(n_pairs, result.n_pairs);
            const head_sums & found = result.sums[static_cast<size_t>(layer * c.shape.n_head + head)];
            for (const section s : k_sections) {
                const section_sums & e = expected[index_of(s)];
                const section_sums & f = found[index_of(s)];
                // dS = A (dA - D) cancels; what is left of f32's rounding is a share of |dA| A.
                const double rounding = 1e-6 * e.contribution + 1e-12;
                const auto check = [&](const char * what, double wanted, double got) {
                    EXPECT_NEAR(got, wanted, k_tolerance * wanted + rounding)
                        << c.name << " layer " << layer << " head " << head << " " << name_of(s) << " " << what;
                    worst = std::max(worst, wanted > 1e-9 ? std::abs(got - wanted) / wanted : 0.0);
                };
                check("gradient", e.gradient, f.gradient);
                check("contribution", e.contribution, f.contribution);
                check("score gradient", e.score_gradient, f.score_gradient);
                check("mass", e.mass, f.mass);
            }
        }
    }
    RecordProperty("worst_relative_error", std::to_string(worst));
    std::printf("%s: worst relative error %.2e\n", c.name, worst);
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

tiny_shape scaled_llama() {
    tiny_shape shape = of("llama", 2, 2, 1, true);
    shape.d_head = 32;
    shape.all_biases = true;
    shape.rope_factors = true;
    shape.rope_base = 500;
    shape.rope_factor = 2;
    return shape;
}

INSTANTIATE_TEST_SUITE_P(Cases, Gradient,
                         ::testing::Values(gradient_case{"llama_gqa", of("llama", 3, 4, 2, false), 33, 512, 1},
                                           gradient_case{"llama_tiles", of("llama", 2, 3, 1, false), 70, 32, 2},
                                           gradient_case{"llama_scaled_biased", scaled_llama(), 40, 16, 1},
                                           gradient_case{"qwen2_tied", of("qwen2", 2, 4, 2, true), 64, 24, 2},
                                           gradient_case{"qwen2_untied", of("qwen2", 2, 2, 2, false), 33, 33, 1},
                                           gradient_case{"qwen3", of("qwen3", 2, 4, 1, true), 65, 64, 2},
                                           gradient_case{"one_layer", of("qwen3", 1, 2, 1, false), 20, 7, 1},
                                           gradient_case{"all_streaming", of("llama", 2, 2, 1, false), 9, 4, 1},
                                           gradient_case{"one_token", of("llama", 2, 2, 1, true), 1, 4, 1}),
                         [](const auto & test) { return std::string(test.param.name); });

TEST(GradientProbe, SameBitsForAnyNumberOfThreadsOfTheReversePass) {
    load_ggml();
    const tiny_shape shape = of("llama", 2, 3, 1, false);
    const tiny_model tiny = make_tiny_model(shape, 2);
    const std::vector<int> tokens = tokens_of(400, shape.n_vocab);
    const model_file file(write_tiny_gguf(tiny, "threads"));
    std::vector<gradient_result> results;
    for (const int n_threads : {1, 2, 2, 5}) {
        probe_options options;
        options.n_threads = n_threads;
        options.shape = k_shape;
        results.push_back(probe_model(file, options).gradient(tokens));
    }
    for (const gradient_result & result : results) {
        EXPECT_EQ(result.sums, results[0].sums);
        EXPECT_EQ(result.logits, results[0].logits);
    }
}

TEST(GradientProbe, KnowsTheTargetItIsGiven) {
    load_ggml();
    const tiny_shape shape = of("llama", 1, 2, 1, false);
    const tiny_model tiny = make_tiny_model(shape, 3);
    const model_file file(write_tiny_gguf(tiny, "target"));
    probe_options options;
    options.shape = k_shape;
    probe_model probe(file, options);
    const std::vector<int> tokens = tokens_of(12, shape.n_vocab);
    const gradient_result own = probe.gradient(tokens);
    const gradient_result asked = probe.gradient(tokens, (own.target + 1) % shape.n_vocab);
    EXPECT_EQ(asked.target, (own.target + 1) % shape.n_vocab);
    EXPECT_LT(asked.log_probability, own.log_probability);
    EXPECT_NE(asked.sums, own.sums);
}

TEST(GradientProbe, StopsWhenAsked) {
    load_ggml();
    const tiny_model tiny = make_tiny_model(of("llama", 2, 2, 1, false), 3);
    const model_file file(write_tiny_gguf(tiny, "stop"));
    std::atomic<bool> stop{false};
    probe_options options;
    options.shape = k_shape;
    options.stop = &stop;
    options.progress = [&](double share) { stop = share > 0.3; };
    probe_model probe(file, options);
    EXPECT_THROW(static_cast<void>(probe.gradient(tokens_of(12, 50))), interrupted);
}

}  // namespace
}  // namespace tmx::test
