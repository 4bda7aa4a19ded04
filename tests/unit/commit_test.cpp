// Names of commits, and which rows may be published.
#include <gtest/gtest.h>

#include "commit/commit_name.h"
#include "commit/published.h"
#include "commit/source_commit.h"

namespace tmx {
namespace {

TEST(Commits, TheMarkOfChangedSources) {
    EXPECT_TRUE(is_dirty("0c1e57098-dirty"));
    EXPECT_FALSE(is_dirty("0c1e57098"));
    EXPECT_FALSE(is_dirty("unknown"));
    EXPECT_EQ(without_mark("0c1e57098-dirty"), "0c1e57098");
    EXPECT_EQ(without_mark("0c1e57098"), "0c1e57098");
    EXPECT_EQ(without_mark(""), "");
}

TEST(Commits, ThisProgramsIsNamed) {
    EXPECT_FALSE(without_mark(source_commit()).empty());
}

TEST(Commits, PublishedResultsAreOfCommittedSources) {
    EXPECT_EQ(why_not_published("docs/results/x.jsonl", "abc"), "");
    EXPECT_EQ(why_not_published("/tmp/x.jsonl", "abc-dirty"), "");
    EXPECT_EQ(why_not_published("x.jsonl", "abc-dirty"), "");
    EXPECT_NE(why_not_published("docs/results/x.jsonl", "abc-dirty").find("abc-dirty"), std::string::npos);
    EXPECT_NE(why_not_published("/a/docs/../docs/results/x.jsonl", "abc-dirty"), "");
}

}  // namespace
}  // namespace tmx
