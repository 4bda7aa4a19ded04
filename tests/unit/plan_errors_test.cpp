// Every error of the plan reader, word for word: the path, what was found, what is allowed.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

// A good plan with one piece of text replaced.
std::string good_but(const std::string & part, const std::string & replacement) {
    std::string text =
        R"({"format": "trianglemix-plan", "version": 1, "name": "n", )"
        R"("model": {"architecture": "llama", "layers": 32, "heads": 32, "kv_heads": 8, "head_dim": 128}, )"
        R"("sink": 8, "window": 512, "last": 128, "tail": "chunk", "precision": "exact", )"
        R"("triangle_layers": "16-31", "per_head": {"20": {"dense_heads": "0-3"}}, "provenance": {"source": "s"}})";
    const size_t at = text.find(part);
    EXPECT_NE(at, std::string::npos) << part;
    return text.replace(at, part.size(), replacement);
}

struct error_case {
    std::string part;
    std::string replacement;
    std::string error;
};

TEST(plan_errors, each_says_where_what_and_what_is_allowed) {
    const std::string file_keys =
        "unknown key; allowed here: format, version, name, model, sink, window, last, tail, precision, "
        "triangle_layers, per_head, provenance";
    const std::string model_keys = "unknown key; allowed here: architecture, layers, heads, kv_heads, head_dim";
    const std::string set_help = "; write numbers and ranges as \"0,4,7-9\", or \"all\", or \"none\"";
    const std::string short_text = ", expected a string of 1 to 128 bytes without control characters";
    const std::vector<error_case> cases = {
        // header
        {R"("format": "trianglemix-plan", )", "", "format: missing; it is required"},
        {R"("trianglemix-plan")", R"("other")", R"(format: found "other", expected "trianglemix-plan")"},
        {R"("trianglemix-plan")", "7", R"(format: found 7, expected "trianglemix-plan")"},
        {R"("version": 1, )", "", "version: missing; it is required"},
        {R"("version": 1)", R"("version": 3)", "version: found 3, this program reads versions 1 and 2"},
        {R"("version": 1)", R"("version": 1.0)", "version: found 1.0, this program reads versions 1 and 2"},
        {R"("version": 1)", R"("version": "1")", R"(version: found "1", this program reads versions 1 and 2)"},
        {R"("version": 1)", R"("version": 3, "news": 0)", "version: found 3, this program reads versions 1 and 2"},
        // unknown keys
        {R"("sink")", R"("sinks")", "sinks: " + file_keys},
        {R"("sink")", R"("Sink\n")", R"("Sink\x0a": )" + file_keys},
        {R"("heads")", R"("head")", "model.head: " + model_keys},
        {R"("dense_heads")", R"("heads")", "per_head.20.heads: unknown key; allowed here: dense_heads"},
        {R"("triangle_layers": "16-31")", R"("triangle_layers": "16-31", "dynamic_layers": "0-15")",
         "dynamic_layers: unknown key; a file of version 2 names its dynamic layers in \"dynamic\"; " +
             file_keys.substr(file_keys.find("allowed"))},
        {R"("dense_heads": "0-3")", R"("dynamic": "0-3")",
         "per_head.20.dynamic: unknown key; allowed here: dense_heads"},
        // name
        {R"("name": "n")", R"("name": "")", R"(name: found "")" + short_text},
        {R"("name": "n")", R"("name": 5)", "name: found 5" + short_text},
        {R"("name": "n")", R"("name": "a\u001bb")", R"(name: found "a\x1bb")" + short_text},
        {R"("name": "n")", "\"name\": \"" + std::string(129, 'x') + "\"",
         "name: found \"" + std::string(60, 'x') + "...\"" + short_text},
        // model
        {R"("model": {"architecture": "llama", "layers": 32, "heads": 32, "kv_heads": 8, "head_dim": 128}, )", "",
         "model: missing; it is required"},
        {R"({"architecture": "llama", "layers": 32, "heads": 32, "kv_heads": 8, "head_dim": 128})", "[1]",
         "model: found an array, expected an object"},
        {R"("architecture": "llama")", R"("architecture": null)", "model.architecture: found null" + short_text},
        {R"("layers": 32, )", "", "model.layers: missing; it is required"},
        {R"("layers": 32)", R"("layers": 0)", "model.layers: found 0, expected an integer from 1 to 1024"},
        {R"("layers": 32)", R"("layers": 1025)", "model.layers: found 1025, expected an integer from 1 to 1024"},
        {R"("layers": 32)", R"("layers": "32")", R"(model.layers: found "32", expected an integer from 1 to 1024)"},
        {R"("layers": 32)", R"("layers": 32.0)", "model.layers: found 32.0, expected an integer from 1 to 1024"},
        {R"("heads": 32)", R"("heads": 0)", "model.heads: found 0, expected an integer from 1 to 1024"},
        {R"("kv_heads": 8)", R"("kv_heads": {})",
         "model.kv_heads: found an object, expected an integer from 1 to 1024"},
        {R"("kv_heads": 8)", R"("kv_heads": 5)", "model.kv_heads: found 5, expected a divisor of heads (32)"},
        {R"("head_dim": 128)", R"("head_dim": 65537)",
         "model.head_dim: found 65537, expected an integer from 1 to 65536"},
        // sizes
        {R"("sink": 8)", R"("sink": -1)", "sink: found -1, expected an integer from 0 to 2147483647"},
        {R"("sink": 8)", R"("sink": true)", "sink: found true, expected an integer from 0 to 2147483647"},
        {R"("window": 512)", R"("window": 0)", "window: found 0, expected an integer from 1 to 2147483647"},
        {R"("window": 512)", R"("window": 2147483648)",
         "window: found 2147483648, expected an integer from 1 to 2147483647"},
        {R"("window": 512)", R"("window": 18446744073709551615)",
         "window: found 18446744073709551615, expected an integer from 1 to 2147483647"},
        {R"("window": 512)", R"("window": 1e3)", "window: found 1000.0, expected an integer from 1 to 2147483647"},
        {R"("last": 128)", R"("last": -9223372036854775808)",
         "last: found -9223372036854775808, expected an integer from 0 to 2147483647"},
        // words
        {R"("tail": "chunk")", R"("tail": "end")", R"(tail: found "end", expected "prompt", "chunk" or "output")"},
        {R"("tail": "chunk")", R"("tail": 1)", R"(tail: found 1, expected "prompt", "chunk" or "output")"},
        {R"("precision": "exact")", R"("precision": "bf16")", R"(precision: found "bf16", expected "exact" or "fast")"},
        {R"("precision": "exact")", R"("precision": [])", R"(precision: found an array, expected "exact" or "fast")"},
        // layers and heads
        {R"("triangle_layers": "16-31", )", "", "triangle_layers: missing; it is required"},
        {R"("triangle_layers": "16-31")", R"("triangle_layers": [16, 17])",
         R"(triangle_layers: found an array, expected a string such as "16-31")"},
        {R"("triangle_layers": "16-31")", R"("triangle_layers": "16-32")",
         R"(triangle_layers: layer set "16-32": layer 32 does not exist; layers are 0 to 31)"},
        {R"("triangle_layers": "16-31")", R"("triangle_layers": "sixteen")",
         R"(triangle_layers: layer set "sixteen": expected a layer number at character 1)" + set_help},
        {R"({"20": {"dense_heads": "0-3"}})", "3", "per_head: found 3, expected an object"},
        {R"("heads": 32, )", "", "per_head: needs model.heads, which is missing"},
        {R"("20")", R"("32")", "per_head.32: expected a layer number from 0 to 31"},
        {R"("20")", R"("020")", "per_head.020: expected a layer number from 0 to 31"},
        {R"("20")", R"("")", "per_head.: expected a layer number from 0 to 31"},
        {R"("20")", R"("-1")", "per_head.-1: expected a layer number from 0 to 31"},
        {R"("20")", R"("99999999999999999999")", "per_head.99999999999999999999: expected a layer number from 0 to 31"},
        {R"("20")", R"("3")", "per_head.3: layer 3 is dense; only layers in triangle_layers take heads"},
        {R"({"dense_heads": "0-3"})", R"("0-3")", R"(per_head.20: found "0-3", expected an object)"},
        {R"("dense_heads": "0-3")", "", "per_head.20.dense_heads: missing; it is required"},
        {R"("dense_heads": "0-3")", R"("dense_heads": 3)",
         R"(per_head.20.dense_heads: found 3, expected a string such as "0-3,7")"},
        {R"("dense_heads": "0-3")", R"("dense_heads": "30-32")",
         R"(per_head.20.dense_heads: head set "30-32": head 32 does not exist; heads are 0 to 31)"},
        {R"("dense_heads": "0-3")", R"("dense_heads": "none")",
         "per_head.20.dense_heads: names no head; leave the entry out"},
        {R"("dense_heads": "0-3")", R"("dense_heads": "all")",
         "per_head.20.dense_heads: names every head; take layer 20 out of triangle_layers instead"},
        // provenance
        {R"({"source": "s"})", R"("measured")", R"(provenance: found "measured", expected an object)"},
        // not a plan at all
        {R"("version": 1)", R"("version": 1, "version": 1)", R"(key "version" appears twice in one object)"},
        {R"("sink": 8)", R"("sink": 8, "model": {"layers": 2})", R"(key "model" appears twice in one object)"},
    };
    for (const error_case & each : cases) {
        const parsed<plan> read = parse_plan(good_but(each.part, each.replacement));
        EXPECT_EQ(read.error, each.error) << each.part << " -> " << each.replacement;
        EXPECT_EQ(read.value, plan{}) << "a failed read must leave nothing behind";
    }
    EXPECT_EQ(parse_plan(good_but(R"("sink")", R"("sink")")).error, "") << "the text all cases start from is good";
}

TEST(plan_errors, only_the_first_is_reported) {
    EXPECT_EQ(parse_plan(R"({"format": "trianglemix-plan", "version": 1, "model": {}, "sink": -1})").error,
              "model.layers: missing; it is required");
}

TEST(plan_errors, the_outermost_value_must_be_an_object) {
    EXPECT_EQ(parse_plan("[]").error, "the file: found an array, expected an object");
    EXPECT_EQ(parse_plan("null").error, "the file: found null, expected an object");
    EXPECT_EQ(parse_plan("{}").error, "format: missing; it is required");
}

TEST(plan_errors, broken_json_is_placed) {
    for (const char * text : {"", " ", "{", "{\"a\"", "{\"a\":}", "{} x", "{'a': 1}", "{\"a\": 1,}", "// c\n{}", "nul",
                              "{\"a\": 1e999}", "\xff\xfe", "{\"a\": \"\xc3\x28\"}", "{\"a\": \"\\ud800\"}"}) {
        const parsed<plan> read = parse_plan(text);
        EXPECT_EQ(read.error.find("not valid JSON: "), 0u) << text << " gives " << read.error;
        EXPECT_EQ(read.error.find("json.exception"), std::string::npos) << read.error;
    }
    EXPECT_NE(parse_plan("{\n  \"a\": ?\n}").error.find("line 2, column 8"), std::string::npos)
        << parse_plan("{\n  \"a\": ?\n}").error;
}

}  // namespace
}  // namespace tmx
