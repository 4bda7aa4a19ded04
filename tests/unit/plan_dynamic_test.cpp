// Plans of version 2: layers whose blocks are selected.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

std::string file_with(const std::string & dynamic, const std::string & version = "2",
                      const std::string & triangle = "16-31") {
    return R"({"format": "trianglemix-plan", "version": )" + version +
           R"(, "model": {"layers": 32, "heads": 4}, "triangle_layers": ")" + triangle + R"(", "dynamic": )" + dynamic +
           "}";
}

TEST(plan_dynamic, is_read) {
    const parsed<plan> read = parse_plan(
        file_with(R"([{"method": "stride", "stride": 7, "layers": "0-9,20"}, {"method": "stride", "layers": "11"}])"));
    ASSERT_EQ(read.error, "");
    const plan & p = read.value;
    ASSERT_EQ(p.dynamic.size(), 2u);
    EXPECT_EQ(p.dynamic[0].selection.values[0], 7);
    EXPECT_EQ(p.dynamic[1].selection, usual_rule(*find_selection_method("stride")));
    for (int32_t layer = 0; layer < 32; ++layer) {
        const layer_plan & planned = p.layers[static_cast<size_t>(layer)];
        EXPECT_EQ(planned.kind, layer >= 16 ? layer_kind::triangle : layer_kind::dense);
        EXPECT_EQ(planned.dynamic, layer < 10 || layer == 20 ? 0 : layer == 11 ? 1 : -1) << layer;
    }
    EXPECT_TRUE(p.any_sparse());
}

TEST(plan_dynamic, survives_writing) {
    const parsed<plan> read = parse_plan(
        file_with(R"([{"method": "stride", "stride": 7, "layers": "0-9,20"}, {"method": "stride", "layers": "11"}])"));
    const std::string written = write_plan(read.value);
    EXPECT_NE(written.find("\"version\": 2"), std::string::npos);
    EXPECT_NE(written.find("\"stride\": 7,"), std::string::npos);
    const parsed<plan> again = parse_plan(written);
    EXPECT_EQ(again.error, "");
    EXPECT_EQ(again.value, read.value);
}

TEST(plan_dynamic, version_1_is_written_where_nothing_is_dynamic) {
    const parsed<plan> read = parse_plan(
        R"({"format": "trianglemix-plan", "version": 2, "model": {"layers": 32}, "triangle_layers": "16-31"})");
    ASSERT_EQ(read.error, "");
    EXPECT_NE(write_plan(read.value).find("\"version\": 1"), std::string::npos);
}

TEST(plan_dynamic, alone_is_sparse_and_not_triangle) {
    const parsed<plan> read = parse_plan(file_with(R"([{"method": "stride", "layers": "3"}])", "2", "none"));
    ASSERT_EQ(read.error, "");
    EXPECT_FALSE(read.value.any_triangle());
    EXPECT_TRUE(read.value.any_sparse());
}

std::string names_of_methods() {
    std::string names;
    for (int32_t method = 0; method < selection_methods(); ++method) {
        names += names.empty() ? "" : ", ";
        names += selection_method_of(method).name;
    }
    return names;
}

TEST(plan_dynamic, errors_say_where_what_and_what_is_allowed) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"{}", "dynamic: found an object, expected an array"},
        {"[]", "dynamic: names no layer; leave it out"},
        {"[3]", "dynamic[0]: found 3, expected an object"},
        {R"([{"layers": "0"}])", "dynamic[0].method: missing; it is required"},
        {R"([{"method": "strid", "layers": "0"}])",
         R"(dynamic[0].method: found "strid", expected one of: )" + names_of_methods()},
        {R"([{"method": 5, "layers": "0"}])", R"(dynamic[0].method: found 5, expected a string such as "stride")"},
        {R"([{"method": "stride"}])", "dynamic[0].layers: missing; it is required"},
        {R"([{"method": "stride", "layers": "none"}])", "dynamic[0].layers: names no layer; leave the entry out"},
        {R"([{"method": "stride", "layers": "32"}])",
         R"(dynamic[0].layers: layer set "32": layer 32 does not exist; layers are 0 to 31)"},
        {R"([{"method": "stride", "stride": 0, "layers": "0"}])",
         "dynamic[0].stride: found 0, expected an integer from 1 to 1048576"},
        {R"([{"method": "stride", "stride": 2.5, "layers": "0"}])",
         "dynamic[0].stride: found 2.5, expected an integer from 1 to 1048576"},
        {R"([{"method": "xattention", "stride": 12, "layers": "0"}])",
         "dynamic[0].stride: found 12, expected a power of two from 4 to 64"},
        {R"([{"method": "stride", "steps": 2, "layers": "0"}])",
         "dynamic[0].steps: unknown key; allowed here: method, layers, heads, min_tokens, stride"},
        {R"([{"method": "stride", "layers": "0-5"}, {"method": "stride", "layers": "5"}])",
         "dynamic[1].layers: layer 5 is in dynamic[0] already"},
    };
    for (const auto & [dynamic, error] : cases) {
        const parsed<plan> read = parse_plan(file_with(dynamic));
        EXPECT_EQ(read.error, error);
        EXPECT_EQ(read.value, plan{});
    }
}

TEST(plan_dynamic, the_file_of_a_wrong_version_is_told_the_right_one) {
    const std::string keys =
        "format, version, name, model, sink, window, last, tail, precision, triangle_layers, "
        "per_head, provenance";
    EXPECT_EQ(
        parse_plan(file_with("[]", "1")).error,
        "dynamic: unknown key; a file of version 2 names its dynamic layers in \"dynamic\"; allowed here: " + keys);
    // One that is of version 2 already is not told to be.
    EXPECT_EQ(parse_plan(R"({"format": "trianglemix-plan", "version": 2, "dynamic_layers": "3"})").error,
              "dynamic_layers: unknown key; allowed here: " + keys + ", dynamic, bands, skip");
}

TEST(plan_dynamic, a_layer_that_the_model_lacks_is_a_mismatch) {
    plan p;
    p.layers.resize(21);
    p.layers[20].dynamic = 0;
    p.dynamic = {{.selection = usual_rule(0), .min_tokens = 0}};
    model_shape running;
    running.n_layer = 16;
    EXPECT_EQ(plan_mismatch(p, running), "plan is for a model with a layer 20, the model has layers 0 to 15");
}

}  // namespace
}  // namespace tmx
