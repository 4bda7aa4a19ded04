// Settings from environment strings: every name, every kind of bad value.
#include "backend/backend_config.h"

#include <gtest/gtest.h>

namespace tmx::test {
namespace {

parsed<plan> fake_load(const std::string & reference) noexcept {
    if (reference == "good.json") {
        plan p;
        p.name = "good";
        p.layers.resize(4);
        p.layers[2].kind = layer_kind::triangle;
        return {p, ""};
    }
    return {{}, "cannot read " + reference};
}

config_result read(std::vector<std::string> environment) {
    return read_config(environment, fake_load);
}

std::string only_problem(const config_result & result) {
    EXPECT_EQ(result.problems.size(), 1u);
    return result.problems.empty() ? "" : result.problems[0].text;
}

TEST(backend_config, nothing_set) {
    const config_result result = read({"PATH=/bin", "HOME=/", "NOTTRIANGLEMIX_PLAN=x"});
    EXPECT_TRUE(result.problems.empty());
    EXPECT_FALSE(result.config.disabled);
    EXPECT_FALSE(result.config.strict);
    EXPECT_FALSE(result.config.cpu_proxy);
    EXPECT_FALSE(result.config.chosen);
    EXPECT_FALSE(result.config.arithmetic);
    EXPECT_EQ(result.config.min_rows, k_default_min_rows);
    EXPECT_EQ(result.config.kernel, "");
    EXPECT_EQ(result.config.stats, "");
}

TEST(backend_config, flags) {
    for (const char * on : {"1", "true", "on", "yes"}) {
        EXPECT_TRUE(read({std::string("TRIANGLEMIX_DISABLE=") + on}).config.disabled) << on;
        EXPECT_TRUE(read({std::string("TRIANGLEMIX_STRICT=") + on}).config.strict) << on;
        EXPECT_TRUE(read({std::string("TRIANGLEMIX_CPU_PROXY=") + on}).config.cpu_proxy) << on;
    }
    for (const char * off : {"", "0", "false", "off", "no"}) {
        const config_result result = read({std::string("TRIANGLEMIX_DISABLE=") + off});
        EXPECT_FALSE(result.config.disabled) << off;
        EXPECT_TRUE(result.problems.empty()) << off;
    }
    const config_result result = read({"TRIANGLEMIX_STRICT=maybe"});
    EXPECT_TRUE(result.any_bad_value());
    EXPECT_EQ(only_problem(result), "TRIANGLEMIX_STRICT: found \"maybe\", expected 1 or 0");
}

TEST(backend_config, products) {
    EXPECT_EQ(read({}).config.products, product_way::fastest);
    EXPECT_EQ(read({"TRIANGLEMIX_PRODUCTS=bf16"}).config.products, product_way::bf16);
    EXPECT_EQ(read({"TRIANGLEMIX_PRODUCTS=off"}).config.products, product_way::off);
    const config_result result = read({"TRIANGLEMIX_PRODUCTS=host", "TRIANGLEMIX_PRODUCTS_MIN_ROWS=17"});
    EXPECT_TRUE(result.problems.empty());
    EXPECT_EQ(result.config.products, product_way::host);
    EXPECT_EQ(result.config.products_min_rows, 17);
    EXPECT_EQ(only_problem(read({"TRIANGLEMIX_PRODUCTS=fast"})),
              "TRIANGLEMIX_PRODUCTS: found \"fast\", expected fastest, host, f32, bf16 or off");
}

TEST(backend_config, layers_make_a_plan) {
    const config_result result = read({"TRIANGLEMIX_LAYERS=1,3-4", "TRIANGLEMIX_SINK=0", "TRIANGLEMIX_WINDOW=100",
                                       "TRIANGLEMIX_LAST=7", "TRIANGLEMIX_TAIL=output"});
    EXPECT_TRUE(result.problems.empty());
    ASSERT_TRUE(result.config.chosen);
    const plan & p = *result.config.chosen;
    ASSERT_EQ(p.layers.size(), 5u);
    EXPECT_EQ(p.layers[0].kind, layer_kind::dense);
    EXPECT_EQ(p.layers[1].kind, layer_kind::triangle);
    EXPECT_EQ(p.layers[2].kind, layer_kind::dense);
    EXPECT_EQ(p.layers[3].kind, layer_kind::triangle);
    EXPECT_EQ(p.layers[4].kind, layer_kind::triangle);
    EXPECT_EQ(p.shape.n_sink, 0);
    EXPECT_EQ(p.shape.n_window, 100);
    EXPECT_EQ(p.shape.n_last, 7);
    EXPECT_EQ(p.tail, tail_policy::output);
    EXPECT_EQ(p.model, model_shape{});
}

TEST(backend_config, layers_alone_take_the_papers_setting) {
    const plan p = *read({"TRIANGLEMIX_LAYERS=0"}).config.chosen;
    EXPECT_EQ(p.shape.n_sink, 8);
    EXPECT_EQ(p.shape.n_window, 512);
    EXPECT_EQ(p.shape.n_last, 128);
    EXPECT_EQ(p.tail, tail_policy::chunk);
}

TEST(backend_config, plan_by_reference) {
    EXPECT_EQ(read({"TRIANGLEMIX_PLAN=good.json"}).config.chosen->name, "good");
    const config_result missing = read({"TRIANGLEMIX_PLAN=other.json"});
    EXPECT_FALSE(missing.config.chosen);
    EXPECT_TRUE(missing.any_bad_value());
    EXPECT_EQ(only_problem(missing), "TRIANGLEMIX_PLAN: cannot read other.json");
}

TEST(backend_config, presets_come_from_the_library) {
    ASSERT_FALSE(plan_presets().empty());
    const std::string name(plan_presets().front().name);
    const std::vector<std::string> environment{"TRIANGLEMIX_PLAN=preset:" + name};
    const config_result result = read_config(environment);
    EXPECT_TRUE(result.problems.empty());
    ASSERT_TRUE(result.config.chosen);
    EXPECT_TRUE(result.config.chosen->any_triangle());
}

TEST(backend_config, plan_and_layers_contradict_each_other) {
    const config_result result = read({"TRIANGLEMIX_PLAN=good.json", "TRIANGLEMIX_LAYERS=1"});
    EXPECT_TRUE(result.any_bad_value());
    EXPECT_FALSE(result.config.chosen);
}

TEST(backend_config, shape_without_layers_is_reported) {
    const std::string layers = " has no effect without TRIANGLEMIX_LAYERS";
    const std::string any = layers + " or TRIANGLEMIX_DYNAMIC";
    const std::pair<std::string, std::string> settings[] = {
        {"SINK", layers}, {"WINDOW", layers}, {"LAST", any}, {"TAIL", any}};
    for (const auto & [name, problem] : settings) {
        const config_result result = read({"TRIANGLEMIX_" + name + (name == "TAIL" ? "=chunk" : "=4")});
        EXPECT_FALSE(result.any_bad_value());
        EXPECT_EQ(only_problem(result), "TRIANGLEMIX_" + name + problem);
        EXPECT_FALSE(result.config.chosen);
    }
}

TEST(backend_config, half_a_plan_is_none) {
    for (const char * bad : {"SINK=-1", "SINK=x", "SINK=4x", "SINK= 4", "SINK=99999999999999999999", "WINDOW=0",
                             "WINDOW=2147483648", "LAST=-3", "LAST=1e3", "TAIL=head"}) {
        const config_result result = read({"TRIANGLEMIX_LAYERS=0-3", std::string("TRIANGLEMIX_") + bad});
        EXPECT_TRUE(result.any_bad_value()) << bad;
        EXPECT_FALSE(result.config.chosen) << bad;
        EXPECT_EQ(only_problem(result).find("TRIANGLEMIX_"), 0u) << bad;
    }
    for (const char * bad : {"all", "5-3", "1,1", "x", "1-", "99999999"}) {
        const config_result result = read({std::string("TRIANGLEMIX_LAYERS=") + bad});
        EXPECT_TRUE(result.any_bad_value()) << bad;
        EXPECT_FALSE(result.config.chosen) << bad;
    }
}

TEST(backend_config, dynamic_layers_by_hand) {
    const config_result both =
        read({"TRIANGLEMIX_LAYERS=4,6", "TRIANGLEMIX_DYNAMIC=stride:12@0-2,4", "TRIANGLEMIX_LAST=64"});
    EXPECT_TRUE(both.problems.empty());
    const plan & p = *both.config.chosen;
    ASSERT_EQ(p.layers.size(), 7u);
    ASSERT_EQ(p.dynamic.size(), 1u);
    EXPECT_EQ(p.dynamic[0].selection.values[0], 12);
    for (const size_t layer : {0, 1, 2, 4}) {
        EXPECT_EQ(p.layers[layer].dynamic, 0) << layer;
    }
    EXPECT_EQ(p.layers[6].dynamic, -1);
    EXPECT_EQ(p.layers[4].kind, layer_kind::triangle);
    EXPECT_EQ(p.layers[0].kind, layer_kind::dense);
    EXPECT_EQ(p.shape.n_last, 64);
    EXPECT_EQ(p.name, "TRIANGLEMIX_LAYERS=4,6 TRIANGLEMIX_DYNAMIC=stride:12@0-2,4");

    const config_result rules = read({"TRIANGLEMIX_DYNAMIC=stride:stride=12,min_tokens=4096@0-2;stride:3@5"});
    EXPECT_TRUE(rules.problems.empty());
    ASSERT_EQ(rules.config.chosen->dynamic.size(), 2u);
    EXPECT_EQ(rules.config.chosen->dynamic[0].min_tokens, 4096);
    EXPECT_EQ(rules.config.chosen->layers[5].dynamic, 1);

    const config_result alone = read({"TRIANGLEMIX_DYNAMIC=stride@3", "TRIANGLEMIX_TAIL=output"});
    EXPECT_TRUE(alone.problems.empty());
    EXPECT_EQ(alone.config.chosen->tail, tail_policy::output);
    EXPECT_TRUE(alone.config.chosen->any_sparse());
    EXPECT_EQ(only_problem(read({"TRIANGLEMIX_DYNAMIC=stride@3", "TRIANGLEMIX_WINDOW=100"})),
              "TRIANGLEMIX_WINDOW has no effect without TRIANGLEMIX_LAYERS");

    const config_result bad = read({"TRIANGLEMIX_DYNAMIC=strode:12@0", "TRIANGLEMIX_LAYERS=1"});
    EXPECT_TRUE(only_problem(bad).starts_with("TRIANGLEMIX_DYNAMIC: found \"strode\", expected one of: stride, "));
    EXPECT_FALSE(bad.config.chosen);
    EXPECT_EQ(only_problem(read({"TRIANGLEMIX_DYNAMIC=stride@0", "TRIANGLEMIX_PLAN=x"})),
              "TRIANGLEMIX_PLAN: TRIANGLEMIX_DYNAMIC is set as well; use one of the two");
}

TEST(backend_config, other_values) {
    const config_result result =
        read({"TRIANGLEMIX_PRECISION=fast", "TRIANGLEMIX_MIN_ROWS=1", "TRIANGLEMIX_KERNEL=avx2",
              "TRIANGLEMIX_STATS=/tmp/a=b.json", "TRIANGLEMIX_STATUS=/tmp/s", "TRIANGLEMIX_STATS_SOCKET=/tmp/%p"});
    EXPECT_TRUE(result.problems.empty());
    EXPECT_EQ(result.config.arithmetic, precision::fast);
    EXPECT_EQ(result.config.min_rows, 1);
    EXPECT_EQ(result.config.kernel, "avx2");
    EXPECT_EQ(result.config.stats, "/tmp/a=b.json");
    EXPECT_EQ(result.config.status, "/tmp/s");
    EXPECT_EQ(result.config.stats_socket, "/tmp/%p");
    EXPECT_EQ(read({"TRIANGLEMIX_STATS=0"}).config.stats, "");
    EXPECT_TRUE(read({"TRIANGLEMIX_PRECISION=bf16"}).any_bad_value());
    for (const char * bad : {"0", "-1", "many", "64 ", "0x40"}) {
        const config_result wrong = read({std::string("TRIANGLEMIX_MIN_ROWS=") + bad});
        EXPECT_TRUE(wrong.any_bad_value()) << bad;
        EXPECT_EQ(wrong.config.min_rows, k_default_min_rows) << bad;
    }
    EXPECT_FALSE(result.config.scratch_mb);
    EXPECT_EQ(read({"TRIANGLEMIX_SCRATCH_MB=0"}).config.scratch_mb, 0);
    EXPECT_EQ(read({"TRIANGLEMIX_SCRATCH_MB=2048"}).config.scratch_mb, 2048);
    for (const char * bad : {"-1", "1G", "0.5"}) {
        const config_result wrong = read({std::string("TRIANGLEMIX_SCRATCH_MB=") + bad});
        EXPECT_TRUE(wrong.any_bad_value()) << bad;
        EXPECT_FALSE(wrong.config.scratch_mb) << bad;
    }
}

TEST(backend_config, unknown_names_are_reported) {
    const config_result result = read({"TRIANGLEMIX_LAYER=0-3"});
    EXPECT_FALSE(result.any_bad_value());
    const std::string text = only_problem(result);
    EXPECT_EQ(text.find("unknown variable TRIANGLEMIX_LAYER; known are TRIANGLEMIX_CPU_PROXY, "), 0u) << text;
    for (const char * known : {"DYNAMIC", "KERNEL", "LAST", "LAYERS", "MIN_ROWS", "PLAN", "PRECISION", "SCRATCH_MB",
                               "SINK", "STATS", "STATS_SOCKET", "STATUS", "STRICT", "TAIL", "WINDOW"}) {
        EXPECT_NE(text.find(known), std::string::npos) << known;
    }
}

TEST(backend_config, odd_strings) {
    EXPECT_TRUE(read({"TRIANGLEMIX_", "TRIANGLEMIX_PLAN", ""}).problems.empty());
    EXPECT_EQ(read({"TRIANGLEMIX_=1"}).problems.size(), 1u);
    EXPECT_EQ(read({"TRIANGLEMIX_KERNEL=a", "TRIANGLEMIX_KERNEL=b"}).config.kernel, "b");
    const config_result result = read({"TRIANGLEMIX_STRICT=" + std::string(5000, '\n')});
    EXPECT_LT(only_problem(result).size(), 200u) << "hostile values must not flood the log";
    EXPECT_EQ(only_problem(result).find('\n'), std::string::npos);
}

}  // namespace
}  // namespace tmx::test
