// Which ggml the library serves.
#include "glue/version_check.h"

#include <gtest/gtest.h>

namespace tmx::test {
namespace {

TEST(version_check, same_build) {
    EXPECT_EQ(version_refusal({"0.25.3", "0c1e570"}, {"0.25.3", "0c1e570"}), "");
    EXPECT_EQ(version_refusal({"0.25.3", "0c1e570"}, {"0.25.3", "0c1e57098abc"}), "");
    EXPECT_EQ(version_refusal({"0.25.3", "0c1e57098abc"}, {"0.25.3", "0c1e570-dirty"}), "");
    EXPECT_EQ(version_refusal({"0.25.3", "0c1e570"}, {"0.25.3", "unknown"}), "");
    EXPECT_EQ(version_refusal({"0.25.3", "unknown"}, {"0.25.3", "0c1e570"}), "");
    EXPECT_EQ(version_refusal({"0.25.3", ""}, {"0.25.3", "0c1e570"}), "");
}

TEST(version_check, other_builds_are_refused_with_both_named) {
    for (const ggml_build & running :
         {ggml_build{"0.25.4", "0c1e570"}, ggml_build{"0.25.3", "0c1e571"}, ggml_build{"0.25", "unknown"},
          ggml_build{"0.25.30", "unknown"}, ggml_build{"", ""}}) {
        const std::string refusal = version_refusal({"0.25.3", "0c1e570"}, running);
        EXPECT_NE(refusal.find("0.25.3 (0c1e570)"), std::string::npos) << refusal;
        EXPECT_NE(refusal.find(std::string(running.version) + " (" + std::string(running.commit) + ")"),
                  std::string::npos)
            << refusal;
        EXPECT_NE(refusal.find("TMX_LLAMA_CPP"), std::string::npos) << "must say what to do";
    }
}

}  // namespace
}  // namespace tmx::test
