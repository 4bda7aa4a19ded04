// Files made to cost memory, time or stack, and the promise that whatever is read can be written and read again.
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "trianglemix/plan.h"

namespace tmx {
namespace {

const std::string k_start = R"({"format":"trianglemix-plan","version":1,"model":{"layers":1024,"heads":1024},)";

std::string with_provenance(const std::string & object) {
    return k_start + R"("triangle_layers":"all","provenance":)" + object + "}";
}

std::string repeated(const std::string & text, size_t n) {
    std::string all;
    for (size_t i = 0; i < n; ++i) {
        all += text;
    }
    return all;
}

// [item,item,...] with n items.
std::string array_of(const std::string & item, size_t n) {
    std::string text(1, '[');
    for (size_t i = 0; i < n; ++i) {
        if (i > 0) {
            text += ',';
        }
        text += item;
    }
    text += ']';
    return text;
}

TEST(plan_hostile, deep_nesting_is_refused_before_it_costs_stack) {
    const std::string reason = "objects and arrays are nested deeper than 16";
    EXPECT_EQ(parse_plan(std::string(1000000, '[')).error, reason);
    EXPECT_EQ(parse_plan(repeated("{\"a\":", 500000)).error, reason);
    EXPECT_EQ(parse_plan(with_provenance("{\"a\":" + std::string(15, '[') + std::string(15, ']') + "}")).error, reason);
    EXPECT_EQ(parse_plan(with_provenance("{\"a\":" + std::string(14, '[') + std::string(14, ']') + "}")).error, "");
}

TEST(plan_hostile, too_many_values_are_refused) {
    EXPECT_EQ(parse_plan(array_of("1", 1000000)).error, "more than 32768 values");
    EXPECT_EQ(parse_plan(array_of("[]", 1000000)).error, "more than 32768 values");
    EXPECT_EQ(parse_plan(with_provenance("{\"a\":" + array_of("1", 4095) + "}")).error,
              "provenance: more than 4096 values");
    EXPECT_EQ(parse_plan(with_provenance("{\"a\":" + array_of("1", 4094) + "}")).error, "");
}

TEST(plan_hostile, too_much_text_is_refused) {
    EXPECT_EQ(parse_plan(std::string(8388609, ' ')).error, "8388609 bytes, a plan has at most 8388608");
    EXPECT_EQ(parse_plan(with_provenance("{\"a\":\"" + std::string(65536 - 8, 'x') + "\"}")).error, "");
    EXPECT_EQ(parse_plan(with_provenance("{\"a\":\"" + std::string(65536 - 7, 'x') + "\"}")).error,
              "provenance: 65537 bytes, at most 65536");
}

TEST(plan_hostile, zero_bytes_are_refused) {
    EXPECT_NE(parse_plan(std::string("{}\0", 3)).error, "");
    EXPECT_NE(parse_plan(std::string("\0", 1)).error, "");
}

// Every layer has a dynamic entry that leaves its parameter out, which the writer adds, and a band and heads of its
// own, beside the most provenance.
TEST(plan_hostile, the_most_values_survive_the_round_trip) {
    std::ostringstream entries;
    std::ostringstream bands;
    std::ostringstream heads;
    for (int layer = 0; layer < 1024; ++layer) {
        const char * comma = layer == 0 ? "" : ",";
        entries << comma << R"({"method":"stride","min_tokens":1,"heads":"1","layers":")" << layer << "\"}";
        bands << comma << R"({"sink":1,"window":)" << layer + 1 << R"(,"layers":")" << layer << "\"}";
        heads << comma << '"' << layer << R"(":{"dense_heads":"0"})";
    }
    std::ostringstream file;
    file << R"({"format":"trianglemix-plan","version":2,"model":{"layers":1024,"heads":3},"triangle_layers":"all",)"
         << R"("dynamic":[)" << entries.str() << R"(],"bands":[)" << bands.str() << R"(],"per_head":{)" << heads.str()
         << R"(},"provenance":{"a":)" << array_of("1", 4094) << "}}";
    const parsed<plan> read = parse_plan(file.str());
    ASSERT_EQ(read.error, "");
    const parsed<plan> again = parse_plan(write_plan(read.value));
    EXPECT_EQ(again.error, "");
    EXPECT_EQ(again.value, read.value);
}

// The largest plan the format allows, each part at its limit, still comes back through the writer.
TEST(plan_hostile, the_largest_plan_survives_the_round_trip) {
    std::string every_other_head = "0";
    for (int head = 2; head < 1024; head += 2) {
        every_other_head += ',';
        every_other_head += std::to_string(head);
    }
    std::string per_head;
    for (int layer = 0; layer < 1024; ++layer) {
        if (layer > 0) {
            per_head += ',';
        }
        per_head += '"';
        per_head += std::to_string(layer);
        per_head += R"(":{"dense_heads":")";
        per_head += every_other_head;
        per_head += R"("})";
    }
    const std::string deep = "{\"a\":" + std::string(14, '[') + repeated("0,", 4080) + "0" + std::string(14, ']') + "}";
    const parsed<plan> read =
        parse_plan(k_start + R"("triangle_layers":"all","per_head":{)" + per_head + "},\"provenance\":" + deep + "}");
    ASSERT_EQ(read.error, "");
    const std::string written = write_plan(read.value);
    EXPECT_GT(written.size(), 2000000u);
    EXPECT_LT(written.size(), 8388608u);
    const parsed<plan> again = parse_plan(written);
    ASSERT_EQ(again.error, "");
    EXPECT_EQ(again.value, read.value);
}

}  // namespace
}  // namespace tmx
