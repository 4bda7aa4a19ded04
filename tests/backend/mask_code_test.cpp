// Masks in few bytes come back bit for bit, and what is no code is refused.
#include "backend/runs/mask_code.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "fake_cache.h"

namespace tmx::test {
namespace {

constexpr size_t k_any = size_t{1} << 30;
constexpr int64_t k_block_rows = 8;

bool decode(const std::vector<uint32_t> & code, int64_t n_rows, int64_t n_kv, std::vector<uint16_t> & mask) {
    return decode_mask(code, n_rows, n_kv, k_block_rows, [&](const uint16_t * rows, int64_t first, int64_t n) {
        std::copy_n(rows, n * n_kv, mask.begin() + first * n_kv);
    });
}

std::vector<uint16_t> there_and_back(const std::vector<uint16_t> & mask, int64_t n_rows, int64_t n_kv) {
    const std::vector<uint32_t> code = encode_mask(mask.data(), n_rows, n_kv, k_any);
    std::vector<uint16_t> decoded(mask.size(), 0x7e00);
    EXPECT_TRUE(decode(code, n_rows, n_kv, decoded));
    return decoded;
}

TEST(mask_code, a_prompts_mask_takes_few_bytes) {
    fake_cache cache(8192);
    cache.add_prompt(0, 3000);
    const fake_ubatch ubatch = cache.add_prompt(0, 1000);
    EXPECT_EQ(there_and_back(ubatch.mask, ubatch.n_rows, ubatch.n_kv), ubatch.mask);
    const size_t words = encode_mask(ubatch.mask.data(), ubatch.n_rows, ubatch.n_kv, k_any).size();
    EXPECT_LE(words, 3 + 4 * static_cast<size_t>(ubatch.n_rows)) << "a stretch a row";
}

TEST(mask_code, any_mask_comes_back) {
    std::mt19937 random(5);
    for (const int64_t n_kv : {1, 7, 2048, 2049, 5000}) {
        for (const int64_t n_rows : {1, 2, 33}) {
            std::vector<uint16_t> mask(static_cast<size_t>(n_rows * n_kv), ubatch_view::k_hidden);
            for (int i = 0; i < 300; ++i) {
                const uint16_t entries[] = {0, 0xfc00, 0x8000, 0x7e01, 0x3c00};
                const size_t at = random() % mask.size();
                const size_t n = std::min<size_t>(random() % 50, mask.size() - at);
                std::fill_n(mask.begin() + static_cast<std::ptrdiff_t>(at), n, entries[random() % std::size(entries)]);
            }
            EXPECT_EQ(there_and_back(mask, n_rows, n_kv), mask) << n_rows << " x " << n_kv;
        }
    }
}

TEST(mask_code, what_would_not_be_short_is_left_alone) {
    std::vector<uint16_t> mask(100 * 512);
    for (size_t i = 0; i < mask.size(); ++i) {
        mask[i] = i % 3 == 0 ? ubatch_view::k_visible : ubatch_view::k_hidden;
    }
    EXPECT_TRUE(encode_mask(mask.data(), 100, 512, mask.size() / 4).empty());
}

// Whatever a network delivers.
TEST(mask_code, what_is_no_code_is_refused) {
    fake_cache cache(256);
    const fake_ubatch ubatch = cache.add_prompt(0, 40);
    const std::vector<uint32_t> good = encode_mask(ubatch.mask.data(), ubatch.n_rows, ubatch.n_kv, k_any);
    std::vector<uint16_t> decoded(ubatch.mask.size());
    std::vector<uint16_t> larger(decoded.size() + 512);
    EXPECT_FALSE(decode(good, ubatch.n_rows, ubatch.n_kv + 1, larger));
    EXPECT_FALSE(decode(good, ubatch.n_rows + 1, ubatch.n_kv, larger));
    for (size_t n = 0; n < good.size(); ++n) {
        EXPECT_FALSE(
            decode({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)}, ubatch.n_rows, ubatch.n_kv, decoded))
            << n << " words";
    }
    std::mt19937 random(9);
    for (int i = 0; i < 20000; ++i) {
        std::vector<uint32_t> bad = good;
        bad[random() % bad.size()] =
            random() % 2 == 0 ? static_cast<uint32_t>(random()) : static_cast<uint32_t>(random() % 300);
        static_cast<void>(decode(bad, ubatch.n_rows, ubatch.n_kv, decoded));  // asan looks on
    }
}

}  // namespace
}  // namespace tmx::test
