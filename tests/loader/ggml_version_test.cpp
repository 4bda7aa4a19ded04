// Which parts may serve which ggml.
#include "loader/ggml_version.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tmx::test {
namespace {

std::vector<std::string> names(const char * version, bool try_newer = false) {
    std::vector<std::string> found;
    for (const host_part * part : parts_for(version, try_newer).parts) {
        found.emplace_back(part->name);
    }
    return found;
}

using list = std::vector<std::string>;

TEST(ggml_version, parts_of_releases) {
    EXPECT_EQ(names("0.13.1"), list{"0.13"});
    EXPECT_EQ(names("0.15.2"), list{"0.14"});
    EXPECT_EQ(names("0.18.0"), list{"0.14"});
    EXPECT_EQ(names("0.19.0"), list{"0.14"});
    EXPECT_EQ(names("0.20.1"), (list{"0.20", "0.14"}));
    EXPECT_EQ(names("0.23.0"), list{"0.20"});
    EXPECT_EQ(names("0.25.3"), (list{"0.26", "0.20"})) << "the layout changed within that release";
    EXPECT_EQ(names("0.26.0"), list{"0.26"});
    EXPECT_EQ(names("0.27.0-dev"), list{"0.26"});
    EXPECT_EQ(names("0.27.0"), list{"0.26"});
}

TEST(ggml_version, others_are_refused_with_what_is_known) {
    for (const char * version : {"0.12.9", "0.28.0", "1.0.0"}) {
        const part_choice choice = parts_for(version, false);
        EXPECT_TRUE(choice.parts.empty()) << version;
        EXPECT_NE(choice.refusal.find(version), std::string::npos) << choice.refusal;
        EXPECT_NE(choice.refusal.find("0.13 to 0.27"), std::string::npos) << choice.refusal;
    }
    for (const char * version : {"", "unknown", "0", "0.", ".1", "0.x", "-1.2", "99999999999.1"}) {
        EXPECT_FALSE(parts_for(version, true).refusal.empty()) << version;
        EXPECT_TRUE(parts_for(version, true).parts.empty()) << version;
    }
}

TEST(ggml_version, newer_ones_are_tried_where_wanted) {
    EXPECT_NE(parts_for("0.28.0", false).refusal.find("TRIANGLEMIX_TRY_NEWER_GGML=1"), std::string::npos);
    EXPECT_EQ(names("0.28.0", true), list{"0.26"});
    EXPECT_EQ(names("0.12.0", true), list{}) << "older ones are not";
}

}  // namespace
}  // namespace tmx::test
