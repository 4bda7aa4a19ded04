// Models in which some layers see the latest tokens only: which layers these are, what their pairs are, and that a
// profile leaves them alone.
#include <gtest/gtest.h>

#include <filesystem>

#include "identity/attention_windows.h"
#include "identity/windowed_layers.h"
#include "profile/pair_share.h"
#include "profile/profiler.h"
#include "runtime/arm.h"
#include "runtime/statistics.h"
#include "tiny_gguf.h"

namespace tmx::test {
namespace {

const triangle_shape k_shape{3, 9, 5};
constexpr int k_window = 24;

using windows = std::vector<int32_t>;

windows of_file(const gguf_changes & changes, int n_layer) {
    tiny_shape shape;
    shape.n_layer = n_layer;
    return attention_windows(write_tiny_gguf(make_tiny_model(shape, 1), "windows", changes));
}

gguf_changes with_keys(const char * architecture, const std::map<std::string, int> & integers,
                       const std::vector<bool> & pattern = {}) {
    gguf_changes changes;
    changes.architecture = architecture;
    changes.integers = integers;
    changes.window_pattern = pattern;
    return changes;
}

TEST(AttentionWindows, AreThoseOfTheFileOrOfTheArchitecture) {
    const std::string window = "attention.sliding_window";
    const std::string pattern = "attention.sliding_window_pattern";
    EXPECT_EQ(of_file(with_keys("gemma3", {{window, 512}}), 7), (windows{512, 512, 512, 512, 512, 0, 512}));
    EXPECT_EQ(of_file(with_keys("gemma3", {{window, 512}, {pattern, 2}}), 4), (windows{512, 0, 512, 0}));
    EXPECT_EQ(of_file(with_keys("gemma3", {{window, 512}}, {false, true, true}), 3), (windows{0, 512, 512}));
    EXPECT_EQ(of_file(with_keys("gemma2", {}), 4), (windows{4096, 0, 4096, 0}));
    EXPECT_EQ(of_file(with_keys("cohere2moe", {{window, 128}}), 5), (windows{0, 128, 128, 128, 0}));
    EXPECT_EQ(of_file(with_keys("llama4", {{window, 0}}), 4), windows{});
    EXPECT_EQ(of_file(with_keys("llama4", {}), 4), (windows{8192, 8192, 8192, 0}));
    EXPECT_EQ(of_file(with_keys("gemma3", {}), 6), windows{}) << "no window, no windowed layer";
    // llama.cpp makes no use of the key there.
    EXPECT_EQ(of_file(with_keys("llama", {{window, 4096}}), 4), windows{});
    EXPECT_EQ(of_file(with_keys("phi3", {{window, 2047}}), 4), windows{});
    EXPECT_EQ(attention_windows("/nowhere.gguf"), windows{});
}

// Seven layers, of which the sixth sees everything.
std::string tiny_gemma() {
    tiny_shape shape;
    shape.architecture = "qwen3";  // for its norms of queries and keys
    shape.n_layer = 7;
    shape.n_head = 2;
    shape.n_head_kv = 1;
    shape.n_embd = 32;  // llama.cpp multiplies these shapes with vector code
    shape.n_ff = 64;
    tiny_model model = make_tiny_model(shape, 4);
    for (int layer = 0; layer < shape.n_layer; ++layer) {
        for (const char * name : {".post_attention_norm.weight", ".post_ffw_norm.weight"}) {
            model.tensors["blk." + std::to_string(layer) + name] = {1, shape.n_embd, std::vector<float>(32, 0.8F)};
        }
    }
    return write_tiny_gguf(model, "tiny_gemma", with_keys("gemma3", {{"attention.sliding_window", k_window}}));
}

std::vector<token_id> prompt_of(int n_tokens, int seed) {
    std::vector<token_id> ids;
    for (int i = 0; i < n_tokens; ++i) {
        ids.push_back((i * i * 7 + i * 3 + seed) % 50);
    }
    return ids;
}

backend & our_backend() {
    static backend b(default_backend_paths(), false);
    return b;
}

TEST(WindowedLayers, ComputeTheirWindowWhateverThePlanSays) {
    backend & b = our_backend();
    const model m(tiny_gemma());
    ASSERT_EQ(m.facts().windows, (windows{24, 24, 24, 24, 24, 0, 24}));
    const model_shape shape = shape_of(m.facts());
    plan p = plan_of_units(all_units(shape, false), shape, k_shape);
    EXPECT_EQ(leave_windowed_layers(p, m.facts().windows), (std::vector<int32_t>{0, 1, 2, 3, 4, 6}));
    EXPECT_EQ(p, plan_of_units(std::vector<unit>{{5, -1}}, shape, k_shape));
    arm a;
    a.plan_json = write_plan(p);
    a.min_last = k_shape.n_last;
    a.context.n_ctx = 256;
    a.context.n_threads = 1;
    const std::unique_ptr<session> s = open_arm(b, m, a);
    static_cast<void>(prefill_arm(b, a, *s, prompt_of(200, 3)));
    const backend_statistics counted = parse_statistics(b.statistics());
    EXPECT_EQ(counted.fallback_text(), "none");
    EXPECT_GT(counted.pairs_skipped, 0);
    // By hand: six layers of two heads, 24 rows that see all before them, 176 that see 24 tokens.
    const double in_windows = 6 * 2 * (24 * 25 / 2 + 176 * 24);
    EXPECT_EQ(counted.pairs_kept + counted.pairs_skipped, in_windows + 2 * (200 * 201 / 2));
    EXPECT_DOUBLE_EQ(counted.kept_share(), pairs_kept(p, 200, m.facts().windows));
}

TEST(WindowedLayers, AreNoCandidatesOfAProfile) {
    backend & b = our_backend();
    const model m(tiny_gemma());
    profile_settings settings;
    settings.model_path = m.facts().path;
    settings.gradient = false;
    settings.ablation = true;
    settings.ablate_in = ablation_place::llama_cpp;
    settings.shape = k_shape;
    settings.score = "ablation";
    settings.how = choose_by::count;
    settings.value = 1;
    settings.n_following = 2;
    settings.record_path = ::testing::TempDir() + "tmx_windowed.records.jsonl";
    std::filesystem::remove(settings.record_path);
    for (const int n_tokens : {120, 140}) {
        settings.prompts.data.emplace_back();
        settings.prompts.data.back().ids = prompt_of(n_tokens, n_tokens);
    }
    const prompt_pool prompts(m, settings.prompts);
    const profile_result r = run_profile(settings, b, m, prompts, {});
    EXPECT_EQ(r.units, (std::vector<unit>{{5, -1}}));
    EXPECT_GT(r.unit_kl.front(), 0);
    EXPECT_EQ(format_units(chosen_units(r)), "5");
    EXPECT_EQ(measured_length(r.value), 140);
}

}  // namespace
}  // namespace tmx::test
