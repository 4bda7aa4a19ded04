// The probe's forward pass on the embedded model, against llama.cpp's own.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "nmse.h"
#include "probe/model_file.h"
#include "probe/probe_model.h"
#include "runtime/arm.h"
#include "runtime/backend.h"
#include "runtime/model.h"

namespace tmx::test {
namespace {

// The embedded model with its 8-bit weights as F16. With the 8-bit file itself llama.cpp rounds activations to 8 bits
// (NMSE 6e-4 from exact arithmetic), which says nothing about the probe.
class f16_copy {
  public:
    f16_copy() : path_(::testing::TempDir() + "tmx_embedded_" + std::to_string(getpid()) + ".gguf") {
        const std::string command = "'" TMX_LLAMA_BIN "/llama-quantize' --allow-requantize '" TMX_TEST_MODEL "' '" +
                                    path_ + "' F16 2 >/dev/null 2>&1";
        made_ = std::system(command.c_str()) == 0;
    }
    ~f16_copy() {
        std::error_code ignored;
        std::filesystem::remove(path_, ignored);
    }
    f16_copy(const f16_copy &) = delete;
    f16_copy & operator=(const f16_copy &) = delete;
    bool made() const { return made_; }
    const std::string & path() const { return path_; }

  private:
    std::string path_;
    bool made_ = false;
};

TEST(EmbeddedModel, LogitsAreLlamaCpps) {
    if (!std::filesystem::exists(TMX_TEST_MODEL)) {
        GTEST_SKIP() << "no " << TMX_TEST_MODEL;
    }
    const f16_copy weights;
    ASSERT_TRUE(weights.made());
    backend b({default_backend_paths().llama_bin, ""}, false);
    const model m(weights.path());
    std::string text;
    for (int i = 0; i < 25; ++i) {
        text += "Room " + std::to_string(100 + i) + " holds " + std::to_string(i * 7919 % 1000) + " boxes. ";
    }
    const std::vector<token_id> ids = m.tokenise_prompt(text + "How many boxes are in room 107?").ids;
    ASSERT_GT(ids.size(), 256U);

    arm stock;
    stock.ours = false;
    stock.context.n_ctx = 1024;
    stock.context.n_threads = 2;
    const std::unique_ptr<session> s = open_arm(b, m, stock);
    const timed_prefill first = prefill_arm(b, stock, *s, ids);
    const std::vector<float> expected(s->last_logits().begin(), s->last_logits().end());

    const model_file file(weights.path());
    probe_options options;
    options.n_threads = 2;
    const std::vector<float> found = probe_model(file, options).logits(ids);
    ASSERT_EQ(found.size(), expected.size());
    const double error = nmse(found, expected);
    std::printf("%zu tokens: NMSE %.2e\n", ids.size(), error);
    EXPECT_LT(error, 1e-4);
    EXPECT_EQ(argmax(found), first.first);
}

}  // namespace
}  // namespace tmx::test
