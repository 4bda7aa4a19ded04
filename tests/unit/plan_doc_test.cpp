// The examples of docs/plan_format.md are read as the page says.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

std::string document() {
    std::ifstream file(TMX_DOCS_FOLDER "/plan_format.md");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string example() {
    const std::string text = document();
    const std::string open = "```json\n";
    const size_t begin = text.find(open) + open.size();
    return text.substr(begin, text.find("```", begin) - begin);
}

TEST(plan_doc, the_example_is_a_plan_as_the_writer_writes_it) {
    const parsed<plan> read = parse_plan(example());
    ASSERT_EQ(read.error, "");
    EXPECT_EQ(write_plan(read.value), example());
}

TEST(plan_doc, every_error_of_the_table_is_reported_so) {
    std::istringstream lines(document());
    int n_rows = 0;
    for (std::string line; std::getline(lines, line);) {
        const size_t middle = line.find("` | `");
        if (!line.starts_with("| `\"") || middle == std::string::npos) {
            continue;
        }
        ++n_rows;
        const std::string member = line.substr(3, middle - 3);
        const std::string error = line.substr(middle + 5, line.rfind("` |") - middle - 5);
        const std::string key = member.substr(0, member.find(':') + 1);
        // Replaces the example's member of that name, or adds one.
        std::string file = example();
        const size_t at = file.find(key);
        if (at == std::string::npos) {
            file.insert(1, member + ",");
        } else {
            file.replace(at, file.find(",\n", at) - at, member);
        }
        EXPECT_EQ(parse_plan(file).error, error) << file;
    }
    EXPECT_EQ(n_rows, 6);
}

TEST(plan_doc, the_refusal_is_worded_so) {
    const plan p = parse_plan(example()).value;
    model_shape running = p.model;
    running.n_layer = 30;
    running.d_head = 64;
    EXPECT_NE(document().find("\n    " + plan_mismatch(p, running) + "\n"), std::string::npos)
        << plan_mismatch(p, running);
}

TEST(plan_doc, every_key_of_the_example_is_in_a_table) {
    const std::string text = document();
    for (const char * key :
         {"format",    "version",         "name",     "model",      "sink",         "window", "last",  "tail",
          "precision", "triangle_layers", "per_head", "provenance", "architecture", "layers", "heads", "kv_heads",
          "head_dim",  "dense_heads",     "dynamic",  "method",     "stride"}) {
        EXPECT_NE(text.find("| `" + std::string(key) + "` | "), std::string::npos) << key;
    }
}

}  // namespace
}  // namespace tmx
