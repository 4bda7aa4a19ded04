// The shipped plans: compiled in as they lie in plans/, readable, and what their sources say.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

std::vector<std::filesystem::path> plan_files() {
    std::vector<std::filesystem::path> files;
    for (const auto & entry : std::filesystem::directory_iterator(TMX_PLANS_FOLDER)) {
        if (entry.path().extension() == ".json") {
            files.push_back(entry.path());
        }
    }
    return files;
}

TEST(presets, are_the_files_of_the_folder) {
    const std::vector<std::filesystem::path> files = plan_files();
    ASSERT_EQ(plan_presets().size(), files.size());
    for (const std::filesystem::path & path : files) {
        std::ifstream file(path);
        const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
        const plan_preset * preset = find_preset(path.stem().string());
        ASSERT_NE(preset, nullptr) << path;
        EXPECT_EQ(preset->json_text, text) << path;
    }
}

TEST(presets, are_readable_complete_and_written_as_the_writer_writes) {
    for (const plan_preset & preset : plan_presets()) {
        const parsed<plan> read = parse_plan(preset.json_text);
        ASSERT_EQ(read.error, "") << preset.name;
        EXPECT_EQ(read.value.name, preset.name);
        EXPECT_TRUE(read.value.any_triangle()) << preset.name;
        EXPECT_NE(read.value.provenance, "") << preset.name;
        const model_shape & model = read.value.model;
        EXPECT_TRUE(!model.architecture.empty() && model.n_head > 0 && model.n_head_kv > 0 && model.d_head > 0)
            << preset.name << " must record its model's whole shape";
        EXPECT_EQ(write_plan(read.value), preset.json_text) << preset.name;
        EXPECT_EQ(load_plan("preset:" + std::string(preset.name)).value, read.value) << preset.name;
    }
}

struct published {
    const char * preset;
    model_shape model;
    const char * triangle_layers;
};

// Facts of the models, and the layers their sources published.
TEST(presets, say_what_was_published) {
    const std::vector<published> all = {
        {"llama-3.1-8b-instruct", {"llama", 32, 32, 8, 128}, "16-31"},
        {"llama-3-8b-instruct-262k", {"llama", 32, 32, 8, 128}, "16-31"},
        {"qwen2.5-7b-instruct", {"qwen2", 28, 28, 4, 128}, "20-27"},
        {"qwen3-8b", {"qwen3", 36, 32, 8, 128}, "5,7,10,15-35"},
    };
    for (const published & each : all) {
        const parsed<plan> read = load_plan(std::string("preset:") + each.preset);
        ASSERT_EQ(read.error, "");
        EXPECT_EQ(read.value.model, each.model) << each.preset;
        std::vector<int32_t> triangle;
        for (size_t layer = 0; layer < read.value.layers.size(); ++layer) {
            if (read.value.layers[layer].kind == layer_kind::triangle) {
                triangle.push_back(static_cast<int32_t>(layer));
            }
        }
        EXPECT_EQ(format_layer_set(triangle), each.triangle_layers) << each.preset;
        EXPECT_EQ(read.value.shape.n_sink, 8);
        EXPECT_EQ(read.value.shape.n_window, 512);
        EXPECT_EQ(read.value.shape.n_last, 128);
        EXPECT_EQ(read.value.arithmetic, precision::exact);
    }
}

TEST(presets, real_models_with_a_long_context_have_one) {
    const struct {
        const char * preset;
        model_shape model;
    } of[] = {{"preset:qwen2.5-coder-0.5b-instruct", {"qwen2", 24, 14, 2, 64}},
              {"preset:qwen2.5-coder-1.5b-instruct", {"qwen2", 28, 12, 2, 128}}};
    for (const auto & each : of) {
        const parsed<plan> read = load_plan(each.preset);
        ASSERT_EQ(read.error, "") << each.preset;
        EXPECT_EQ(read.value.model, each.model) << each.preset;
        EXPECT_TRUE(read.value.any_triangle() && !read.value.dynamic.empty()) << each.preset;
        EXPECT_EQ(measured_length(read.value), 30000) << each.preset;
    }
}

TEST(presets, the_embedded_model_has_one) {
    const parsed<plan> read = load_plan("preset:smollm2-135m-instruct");
    ASSERT_EQ(read.error, "");
    EXPECT_EQ(read.value.model, (model_shape{"llama", 30, 9, 3, 64}));
    EXPECT_EQ(measured_length(read.value), 7600);
}

TEST(presets, are_found_by_exact_name) {
    EXPECT_EQ(find_preset("llama"), nullptr);
    EXPECT_EQ(find_preset(""), nullptr);
    const parsed<plan> read = load_plan("preset:llama");
    EXPECT_EQ(read.error,
              "no preset \"llama\"; there are: llama-3-8b-instruct-262k, llama-3.1-8b-instruct, qwen2.5-7b-instruct, "
              "qwen2.5-coder-0.5b-instruct, qwen2.5-coder-1.5b-instruct, qwen3-8b, smollm2-135m-instruct");
}

TEST(presets, are_suggested_by_shape) {
    std::vector<std::string> names;
    for (const plan_preset * preset : presets_for({"llama", 32, 32, 8, 128})) {
        names.emplace_back(preset->name);
    }
    EXPECT_EQ(names, (std::vector<std::string>{"llama-3-8b-instruct-262k", "llama-3.1-8b-instruct"}));
    EXPECT_TRUE(presets_for({"gemma", 32, 32, 8, 128}).empty());
}

}  // namespace
}  // namespace tmx
