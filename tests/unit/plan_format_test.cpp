// What a plan file says, and that writing and reading it changes nothing. docs/plan_format.md is the text beside it.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

const std::string k_full = R"({
    "format": "trianglemix-plan",
    "version": 1,
    "name": "example",
    "model": {
        "architecture": "llama",
        "layers": 32,
        "heads": 16,
        "kv_heads": 8,
        "head_dim": 128
    },
    "sink": 16,
    "window": 1024,
    "last": 64,
    "tail": "output",
    "precision": "fast",
    "triangle_layers": "3,16-31",
    "per_head": {
        "3": {
            "dense_heads": "15"
        },
        "20": {
            "dense_heads": "0-3,7"
        }
    },
    "provenance": {
        "source": "measured",
        "figures": [
            1,
            -2,
            0.25,
            true,
            null,
            {
                "z": "last key first",
                "a": "caf\u00e9"
            }
        ]
    }
}
)";

TEST(plan_format, the_measured_length_is_read_where_it_is_one) {
    plan p;
    for (const char * none :
         {"", "{}", R"({"measured_up_to": "7600"})", R"({"measured_up_to": -1})", R"({"measured_up_to": 7600.5})",
          R"({"measured_up_to": 2147483648})", R"({"data": {"measured_up_to": 7600}})", "no object"}) {
        p.provenance = none;
        EXPECT_EQ(measured_length(p), 0) << none;
        EXPECT_FALSE(far_beyond(1 << 30, measured_length(p)));
    }
    p.provenance = R"({"source": "x", "measured_up_to": 7600})";
    EXPECT_EQ(measured_length(p), 7600);
    EXPECT_FALSE(far_beyond(15200, 7600));
    EXPECT_TRUE(far_beyond(15201, 7600));
}

TEST(plan_format, every_key_is_read) {
    const parsed<plan> read = parse_plan(k_full);
    ASSERT_EQ(read.error, "");
    const plan & p = read.value;
    EXPECT_EQ(p.name, "example");
    EXPECT_EQ(p.model, (model_shape{"llama", 32, 16, 8, 128}));
    EXPECT_EQ(p.shape.n_sink, 16);
    EXPECT_EQ(p.shape.n_window, 1024);
    EXPECT_EQ(p.shape.n_last, 64);
    EXPECT_EQ(p.tail, tail_policy::output);
    EXPECT_EQ(p.arithmetic, precision::fast);
    ASSERT_EQ(p.layers.size(), 32u);
    for (size_t layer = 0; layer < 32; ++layer) {
        const bool triangle = layer == 3 || layer >= 16;
        EXPECT_EQ(p.layers[layer].kind, triangle ? layer_kind::triangle : layer_kind::dense) << layer;
        if (layer != 3 && layer != 20) {
            EXPECT_TRUE(p.layers[layer].dense_head.empty()) << layer;
        }
    }
    const std::vector<uint8_t> heads_of_20 = {1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(p.layers[20].dense_head, heads_of_20);
    std::vector<uint8_t> heads_of_3(16, 0);
    heads_of_3[15] = 1;
    EXPECT_EQ(p.layers[3].dense_head, heads_of_3);
    EXPECT_EQ(p.provenance,
              "{\"source\":\"measured\",\"figures\":[1,-2,0.25,true,null,{\"z\":\"last key first\",\"a\":\"caf\xc3\xa9"
              "\"}]}");
    EXPECT_TRUE(p.any_triangle());
}

TEST(plan_format, missing_keys_take_the_documented_defaults) {
    const parsed<plan> read =
        parse_plan(R"({"format":"trianglemix-plan","version":1,"model":{"layers":2},"triangle_layers":"none"})");
    ASSERT_EQ(read.error, "");
    const plan & p = read.value;
    EXPECT_EQ(p.name, "");
    EXPECT_EQ(p.model, (model_shape{"", 2, 0, 0, 0}));
    EXPECT_EQ(p.shape.n_sink, 8);
    EXPECT_EQ(p.shape.n_window, 512);
    EXPECT_EQ(p.shape.n_last, 128);
    EXPECT_EQ(p.tail, tail_policy::chunk);
    EXPECT_EQ(p.arithmetic, precision::exact);
    EXPECT_EQ(p.layers.size(), 2u);
    EXPECT_EQ(p.provenance, "");
    EXPECT_FALSE(p.any_triangle());
}

TEST(plan_format, all_means_every_layer) {
    const parsed<plan> read =
        parse_plan(R"({"format":"trianglemix-plan","version":1,"model":{"layers":3},"triangle_layers":"all"})");
    ASSERT_EQ(read.error, "");
    for (const layer_plan & layer : read.value.layers) {
        EXPECT_EQ(layer.kind, layer_kind::triangle);
    }
}

TEST(plan_format, the_limits_themselves_are_allowed) {
    const parsed<plan> read = parse_plan(
        R"({"format":"trianglemix-plan","version":1,"model":{"layers":1024,"heads":1024,"kv_heads":1,"head_dim":65536},)"
        R"("sink":2147483647,"window":2147483647,"last":2147483647,"triangle_layers":"0-1023"})");
    ASSERT_EQ(read.error, "");
    EXPECT_EQ(read.value.shape.n_window, 2147483647);
    EXPECT_EQ(read.value.layers.size(), 1024u);
    const parsed<plan> least = parse_plan(
        R"({"format":"trianglemix-plan","version":1,"model":{"layers":1,"heads":1,"kv_heads":1,"head_dim":1},)"
        R"("sink":0,"window":1,"last":0,"triangle_layers":"0"})");
    ASSERT_EQ(least.error, "");
    EXPECT_EQ(least.value.shape.n_sink, 0);
    EXPECT_EQ(least.value.shape.n_window, 1);
    EXPECT_EQ(least.value.shape.n_last, 0);
}

TEST(plan_format, writing_gives_the_same_text_and_plan_back) {
    const plan p = parse_plan(k_full).value;
    std::string expected = k_full;
    const std::string escaped = "\\u00e9";
    expected.replace(expected.find(escaped), escaped.size(), "\xc3\xa9");
    EXPECT_EQ(write_plan(p), expected);
    EXPECT_EQ(parse_plan(write_plan(p)).value, p);
}

TEST(plan_format, equality_sees_every_field) {
    const plan p = parse_plan(k_full).value;
    const auto differs = [&](auto change) {
        plan other = p;
        change(other);
        return !(other == p);
    };
    EXPECT_FALSE(differs([](plan &) {}));
    EXPECT_TRUE(differs([](plan & o) { o.name = "x"; }));
    EXPECT_TRUE(differs([](plan & o) { o.model.architecture = "x"; }));
    EXPECT_TRUE(differs([](plan & o) { o.model.n_layer = 1; }));
    EXPECT_TRUE(differs([](plan & o) { o.model.n_head = 1; }));
    EXPECT_TRUE(differs([](plan & o) { o.model.n_head_kv = 1; }));
    EXPECT_TRUE(differs([](plan & o) { o.model.d_head = 1; }));
    EXPECT_TRUE(differs([](plan & o) { o.shape.n_sink = 1; }));
    EXPECT_TRUE(differs([](plan & o) { o.shape.n_window = 1; }));
    EXPECT_TRUE(differs([](plan & o) { o.shape.n_last = 1; }));
    EXPECT_TRUE(differs([](plan & o) { o.tail = tail_policy::prompt; }));
    EXPECT_TRUE(differs([](plan & o) { o.arithmetic = precision::exact; }));
    EXPECT_TRUE(differs([](plan & o) { o.layers[31].kind = layer_kind::dense; }));
    EXPECT_TRUE(differs([](plan & o) { o.layers[20].dense_head[15] = 1; }));
    EXPECT_TRUE(differs([](plan & o) { o.provenance = ""; }));
}

TEST(plan_format, writing_a_plan_made_in_code) {
    plan p;
    p.model.n_layer = 4;
    p.layers.resize(4);
    p.layers[1].kind = layer_kind::triangle;
    EXPECT_EQ(parse_plan(write_plan(p)).error, "");
    EXPECT_EQ(parse_plan(write_plan(p)).value, p);

    p.provenance = "made by hand, not JSON";
    EXPECT_EQ(parse_plan(write_plan(p)).value.provenance, "{\"note\":\"made by hand, not JSON\"}");
    p.provenance = "[1]";
    EXPECT_EQ(parse_plan(write_plan(p)).value.provenance, "{\"note\":\"[1]\"}");
}

TEST(plan_format, the_words_of_files_and_options) {
    for (const tail_policy tail : {tail_policy::prompt, tail_policy::chunk, tail_policy::output}) {
        EXPECT_EQ(parse_tail_policy(name_of(tail)).error, "");
        EXPECT_EQ(parse_tail_policy(name_of(tail)).value, tail);
    }
    for (const precision arithmetic : {precision::exact, precision::fast}) {
        EXPECT_EQ(parse_precision(name_of(arithmetic)).error, "");
        EXPECT_EQ(parse_precision(name_of(arithmetic)).value, arithmetic);
    }
    EXPECT_EQ(name_of(tail_policy::prompt), "prompt");
    EXPECT_EQ(name_of(precision::fast), "fast");
    EXPECT_EQ(parse_tail_policy("Chunk").error, "found \"Chunk\", expected \"prompt\", \"chunk\" or \"output\"");
    EXPECT_EQ(parse_precision("").error, "found \"\", expected \"exact\" or \"fast\"");
}

TEST(plan_format, files_are_read_and_named_in_errors) {
    const std::string path = testing::TempDir() + "tmx_plan_format_test.json";
    std::ofstream(path) << k_full;
    EXPECT_EQ(read_plan_file(path).value, parse_plan(k_full).value);
    EXPECT_EQ(load_plan(path).value, parse_plan(k_full).value);

    std::ofstream(path) << "{}";
    EXPECT_EQ(read_plan_file(path).error, "plan file \"" + path + "\": format: missing; it is required");
    std::remove(path.c_str());
    EXPECT_EQ(load_plan(path).error, "plan file \"" + path + "\": No such file or directory");
    EXPECT_EQ(load_plan(testing::TempDir()).error, "plan file \"" + testing::TempDir() + "\": Is a directory");
    EXPECT_EQ(load_plan("").error, "plan file \"\": No such file or directory");
    EXPECT_EQ(read_plan_file("/dev/zero").error,
              "plan file \"/dev/zero\": is a device, and a plan is read from a regular file");
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);  // nobody writes: opening it to read would wait for ever
    EXPECT_EQ(read_plan_file(path).error,
              "plan file \"" + path + "\": is a pipe, and a plan is read from a regular file");
    std::remove(path.c_str());
    std::ofstream(path) << std::string((8 << 20) + 1, ' ');
    EXPECT_NE(read_plan_file(path).error.find("a plan has at most 8388608"), std::string::npos);
    std::remove(path.c_str());
}

}  // namespace
}  // namespace tmx
