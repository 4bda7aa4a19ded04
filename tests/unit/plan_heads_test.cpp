// Plans of version 2: what differs from layer to layer and from head to head.
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

template <typename... T>
std::string joined(const T &... parts) {
    std::ostringstream text;
    (text << ... << parts);
    return text.str();
}

// Layers 4 to 7 of 8 are triangle; 4 query heads.
std::string file_of(const std::string & rest, const std::string & model = R"("layers": 8, "heads": 4)") {
    return joined(R"({"format": "trianglemix-plan", "version": 2, "model": {)", model,
                  R"(}, "triangle_layers": "4-7", )", rest, "}");
}

std::string dynamic(const std::string & entries) {
    return joined(R"("dynamic": [)", entries, "]");
}

std::string stride_entry(int layer, int head) {
    return joined(R"({"method": "stride", "layers": ")", layer, R"(", "heads": ")", head, R"("})");
}

void expect_error(const std::string & file, const std::string & error) {
    const parsed<plan> read = parse_plan(file);
    EXPECT_EQ(read.error, error) << file;
    EXPECT_EQ(read.value, plan{});
}

void expect_written_as_read(const std::string & file) {
    const parsed<plan> read = parse_plan(file);
    ASSERT_EQ(read.error, "");
    const std::string written = write_plan(read.value);
    const parsed<plan> again = parse_plan(written);
    EXPECT_EQ(again.error, "");
    EXPECT_EQ(again.value, read.value);
    EXPECT_EQ(write_plan(again.value), written);
}

constexpr const char * k_two_rules =
    R"({"method": "stride", "stride": 3, "layers": "1,4", "heads": "0,2", "min_tokens": 4096},
       {"method": "stride", "stride": 9, "layers": "4-5", "heads": "1"})";

TEST(plan_heads, heads_of_a_layer_may_have_rules_of_their_own) {
    const std::string file = file_of(dynamic(k_two_rules));
    const parsed<plan> read = parse_plan(file);
    ASSERT_EQ(read.error, "");
    const plan & p = read.value;
    EXPECT_EQ(p.layers[1].head_dynamic, (std::vector<int32_t>{0, -1, 0, -1}));
    EXPECT_EQ(p.layers[4].head_dynamic, (std::vector<int32_t>{0, 1, 0, -1}));
    EXPECT_EQ(p.layers[5].head_dynamic, (std::vector<int32_t>{-1, 1, -1, -1}));
    EXPECT_TRUE(p.layers[0].head_dynamic.empty());
    EXPECT_EQ(p.dynamic[0].min_tokens, 4096);
    EXPECT_EQ(p.dynamic[1].min_tokens, 0);
    EXPECT_TRUE(p.any_sparse());
    for (const size_t layer : {1, 4, 5}) {
        EXPECT_TRUE(p.layers[layer].is_dynamic());
        EXPECT_EQ(p.layers[layer].dynamic, -1);
    }
    expect_written_as_read(file);
}

TEST(plan_heads, a_triangle_layer_may_have_a_band_of_its_own) {
    const std::string file = file_of(R"("window": 100, "sink": 3,
        "bands": [{"layers": "5,7", "window": 2048}, {"layers": "6", "sink": 0, "window": 1}])");
    const parsed<plan> read = parse_plan(file);
    ASSERT_EQ(read.error, "");
    const auto shape = [&](size_t layer) {
        const triangle_shape found = read.value.shape_of_layer(layer);
        return std::pair(found.n_sink, found.n_window);
    };
    EXPECT_EQ(shape(4), std::pair(int64_t{3}, int64_t{100}));
    EXPECT_EQ(shape(5), std::pair(int64_t{3}, int64_t{2048}));
    EXPECT_EQ(shape(6), std::pair(int64_t{0}, int64_t{1}));
    EXPECT_EQ(read.value.shape_of_layer(6).n_last, 128);
    EXPECT_NE(write_plan(read.value).find("\"version\": 2"), std::string::npos);
    expect_written_as_read(file);
}

TEST(plan_heads, keys_may_be_skipped) {
    const parsed<plan> read = parse_plan(file_of(R"("skip": 0.5)"));
    ASSERT_EQ(read.error, "");
    EXPECT_EQ(read.value.skip, 0.5);
    plan only;
    EXPECT_FALSE(only.any_sparse());
    only.skip = 0.5;
    EXPECT_TRUE(only.any_sparse()) << "or nobody would hear of it";
    EXPECT_NE(write_plan(read.value).find("\"version\": 2"), std::string::npos);
    expect_written_as_read(file_of(R"("skip": 0.5)"));
    expect_error(file_of(R"("skip": -1)"), "skip: found -1, expected a number from 0.0 to 2147483647.0");
    expect_error(R"({"format": "trianglemix-plan", "version": 1, "skip": 1})",
                 "skip: unknown key; a key of version 2; allowed here: format, version, name, model, sink, window, "
                 "last, tail, precision, triangle_layers, per_head, provenance");
}

TEST(plan_heads, dense_heads_of_a_layer_that_is_triangle_and_dynamic) {
    expect_written_as_read(
        file_of(dynamic(R"({"method": "stride", "layers": "4"})") + R"(, "per_head": {"4": {"dense_heads": "1-2"}})"));
    expect_written_as_read(file_of(dynamic(R"({"method": "stride", "layers": "4", "heads": "0"})") +
                                   R"(, "per_head": {"4": {"dense_heads": "1-2"}})"));
    expect_error(file_of(dynamic(R"({"method": "stride", "layers": "4", "heads": "0,2"})") +
                         R"(, "per_head": {"4": {"dense_heads": "1-2"}})"),
                 "per_head.4.dense_heads: head 2 is in dynamic[0]");
}

TEST(plan_heads, errors_of_heads) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {R"({"method": "stride", "layers": "0", "heads": "none"})",
         "dynamic[0].heads: names no head; leave the entry out"},
        {R"({"method": "stride", "layers": "0", "heads": "0-3"})",
         "dynamic[0].heads: names every head; leave the key out instead"},
        {R"({"method": "stride", "layers": "0", "heads": "4"})",
         R"(dynamic[0].heads: head set "4": head 4 does not exist; heads are 0 to 3)"},
        {R"({"method": "stride", "layers": "0", "heads": 3})",
         R"(dynamic[0].heads: found 3, expected a string such as "0-3,7")"},
        {R"({"method": "stride", "layers": "0", "heads": "1"}, {"method": "stride", "layers": "0-1", "heads": "1-2"})",
         "dynamic[1].layers: head 1 of layer 0 is in dynamic[0] already"},
        {R"({"method": "stride", "layers": "0", "heads": "1"}, {"method": "stride", "layers": "0"})",
         "dynamic[1].layers: layer 0 is in dynamic[0] already"},
        {R"({"method": "stride", "layers": "0"}, {"method": "stride", "layers": "0", "heads": "1"})",
         "dynamic[1].layers: layer 0 is in dynamic[0] already"},
        {R"({"method": "stride", "layers": "0", "min_tokens": -1})",
         "dynamic[0].min_tokens: found -1, expected an integer from 0 to 2147483647"},
        {R"({"method": "stride", "layers": "0", "min_tokens": 1.5})",
         "dynamic[0].min_tokens: found 1.5, expected an integer from 0 to 2147483647"},
    };
    for (const auto & [entries, error] : cases) {
        expect_error(file_of(dynamic(entries)), error);
    }
    expect_error(file_of(dynamic(R"({"method": "stride", "layers": "0", "heads": "1"})"), R"("layers": 8)"),
                 "dynamic[0].heads: needs model.heads, which is missing");
}

TEST(plan_heads, errors_of_bands) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"{}", "bands: found an object, expected an array"},
        {"[]", "bands: names no layer; leave it out"},
        {R"([{"layers": "4"}])", "bands[0]: has neither sink nor window; leave the entry out"},
        {R"([{"window": 4}])", "bands[0].layers: missing; it is required"},
        {R"([{"layers": "none", "sink": 4}])", "bands[0].layers: names no layer; leave the entry out"},
        {R"([{"layers": "3", "sink": 4}])", "bands[0].layers: layer 3 is not in triangle_layers"},
        {R"([{"layers": "4", "sink": 4}, {"layers": "4", "window": 4}])",
         "bands[1].layers: layer 4 is in an entry before already"},
        {R"([{"layers": "4", "window": 0}])", "bands[0].window: found 0, expected an integer from 1 to 2147483647"},
        {R"([{"layers": "4", "last": 4}])", "bands[0].last: unknown key; allowed here: layers, sink, window"},
    };
    for (const auto & [bands, error] : cases) {
        expect_error(file_of(R"("bands": )" + bands), error);
    }
    expect_error(R"({"format": "trianglemix-plan", "version": 1, "bands": []})",
                 "bands: unknown key; a key of version 2; allowed here: format, version, name, model, sink, window, "
                 "last, tail, precision, triangle_layers, per_head, provenance");
}

TEST(plan_heads, as_many_rules_as_the_format_takes) {
    std::string entries;
    for (int i = 0; i < 1025; ++i) {
        entries += i > 0 ? "," : "";
        entries += stride_entry(i / 4, i % 4);
        if (i == 1023) {
            expect_written_as_read(file_of(dynamic(entries), R"("layers": 400, "heads": 4)"));
        }
    }
    expect_error(file_of(dynamic(entries), R"("layers": 400, "heads": 4)"),
                 "dynamic: found 1025 entries, at most 1024");
    std::string of_one_layer;
    for (int head = 0; head < 256; ++head) {
        of_one_layer += head > 0 ? "," : "";
        of_one_layer += stride_entry(0, head);
    }
    expect_error(file_of(dynamic(of_one_layer), R"("layers": 8, "heads": 1024)"),
                 "dynamic[255].layers: layer 0 is in more than 255 entries");
}

TEST(plan_heads, heads_that_the_model_lacks_are_a_mismatch) {
    plan p;
    p.layers.resize(1);
    p.layers[0].head_dynamic = {0, -1};
    p.dynamic.resize(1);
    model_shape running;
    running.n_head = 4;
    EXPECT_EQ(plan_mismatch(p, running), "plan is for 2 heads in layer 0, the model has 4");
}

}  // namespace
}  // namespace tmx
