// How rows of a mask differ, as a GPU finds it, against the definition.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device.h"
#include "mask_rows_oracle.h"
#include "trianglemix/cuda_mask_rows.h"

namespace tmx::test {
namespace {

constexpr uint16_t k_visible = 0x0000;
constexpr uint16_t k_hidden = 0xfc00;

struct mask_case {
    int64_t n_stream = 1;
    int64_t n_rows = 1;
    int64_t n_kv = 1;
    int64_t row_padding = 0;  // elements beside a row
    int64_t offset = 0;       // of the first entry in its memory
    bool shared = false;      // all streams share one mask
    int64_t n_wrong = 0;      // entries that are not what a causal mask has
    bool shuffled = false;    // own cells lie anywhere
};

class cuda_mask_rows : public testing::Test {
  protected:
    void SetUp() override {
        if (const std::string why = no_device(); !why.empty()) {
            GTEST_SKIP() << why;
        }
        ASSERT_TRUE(cuda_context::create(0, ctx_).ok());
    }

    // Rows see `before` cells and, one by one, their own; then some entries are spoilt.
    void check(const mask_case & c, uint32_t seed) {
        std::mt19937 random(seed);
        const int64_t stride_row = c.n_kv + c.row_padding;
        const int64_t stride_stream = c.shared ? 0 : c.n_rows * stride_row;
        const int64_t n_masks = c.shared ? 1 : c.n_stream;
        std::vector<uint16_t> entries(static_cast<size_t>(c.offset + n_masks * c.n_rows * stride_row), 0x7e00);
        std::vector<int32_t> cells(static_cast<size_t>(c.n_stream * c.n_rows), -1);
        const int64_t before = std::max<int64_t>(0, c.n_kv - c.n_rows) / 2;
        const auto own = [&](int64_t row) {
            return c.shuffled ? (row * 7919 + 13) % c.n_kv : std::min(before + row, c.n_kv - 1);
        };
        for (int64_t stream = 0; stream < c.n_stream; ++stream) {
            for (int64_t row = 0; row < c.n_rows; ++row) {
                uint16_t * mask = entries.data() + c.offset + stream * stride_stream + row * stride_row;
                for (int64_t cell = 0; cell < c.n_kv; ++cell) {
                    mask[cell] = cell < before ? k_visible : k_hidden;
                }
                for (int64_t past = 0; past <= row; ++past) {
                    mask[own(past)] = k_visible;
                }
                cells[static_cast<size_t>(stream * c.n_rows + row)] = static_cast<int32_t>(own(row));
            }
        }
        const uint16_t spoilt[] = {0x0000, 0xfc00, 0x8000, 0x7c00, 0xbc00, 0x0001};
        for (int64_t i = 0; i < c.n_wrong; ++i) {
            const size_t row = random() % static_cast<size_t>(n_masks * c.n_rows);
            const size_t cell = random() % 3 == 0 ? static_cast<size_t>(std::max(cells[row], 0))
                                                  : random() % static_cast<size_t>(c.n_kv);
            entries[static_cast<size_t>(c.offset) + row * static_cast<size_t>(stride_row) + cell] =
                spoilt[random() % std::size(spoilt)];
        }
        for (int64_t i = 0; i < c.n_wrong / 8; ++i) {
            const int32_t strange[] = {-1, static_cast<int32_t>(c.n_kv), INT32_MIN, INT32_MAX};
            cells[random() % cells.size()] = strange[random() % std::size(strange)];
        }

        device_mask mask{.data = entries.data() + c.offset,
                         .stride_stream = stride_stream,
                         .stride_row = stride_row,
                         .n_stream = c.n_stream,
                         .n_rows = c.n_rows,
                         .n_kv = c.n_kv};
        std::vector<uint8_t> expected(cells.size());
        expected_mask_rows(mask, cells, expected);
        device_copy device(entries.data(), entries.size() * sizeof(uint16_t));
        mask.data = static_cast<uint16_t *>(device.data()) + c.offset;
        std::vector<uint8_t> found(cells.size(), 0xff);
        const status compared = cuda_compare_mask_rows(mask, cells, found, *ctx_, nullptr);
        ASSERT_TRUE(compared.ok()) << compared.message();
        EXPECT_EQ(expected, found) << c.n_stream << " x " << c.n_rows << " x " << c.n_kv << ", offset " << c.offset;
    }

    std::unique_ptr<cuda_context> ctx_;
};

TEST_F(cuda_mask_rows, are_found_as_they_differ) {
    uint32_t seed = 0;
    for (const int64_t n_kv : {1, 7, 8, 255, 256, 1000, 4096, 33000}) {
        for (const int64_t n_rows : {1, 2, 63, 300}) {
            for (const int64_t n_wrong : {0, 1, 40}) {
                check({.n_rows = n_rows, .n_kv = n_kv, .n_wrong = n_wrong}, ++seed);
            }
        }
    }
}

TEST_F(cuda_mask_rows, lie_in_streams_at_any_stride_and_address) {
    uint32_t seed = 1000;
    for (const int64_t offset : {0, 1, 4, 8}) {
        for (const int64_t padding : {0, 3, 64}) {
            for (const bool shared : {false, true}) {
                check({.n_stream = 3,
                       .n_rows = 50,
                       .n_kv = 512,
                       .row_padding = padding,
                       .offset = offset,
                       .shared = shared,
                       .n_wrong = 16,
                       .shuffled = true},
                      ++seed);
            }
        }
    }
}

TEST_F(cuda_mask_rows, refuse_what_does_not_fit) {
    const uint16_t entries[4] = {};
    device_copy device(entries, sizeof(entries));
    const device_mask mask{.data = device.data(), .stride_row = 2, .n_stream = 1, .n_rows = 2, .n_kv = 2};
    const std::vector<int32_t> cells(2, 0);
    std::vector<uint8_t> found(1);
    EXPECT_EQ(cuda_compare_mask_rows(mask, cells, found, *ctx_, nullptr).code(), status_code::invalid_argument);
    found.resize(2);
    device_mask nothing = mask;
    nothing.n_kv = 0;
    EXPECT_EQ(cuda_compare_mask_rows(nothing, cells, found, *ctx_, nullptr).code(), status_code::invalid_argument);
    ctx_->limit_scratch({.most_bytes = 0, .share = 1});
    EXPECT_EQ(cuda_compare_mask_rows(mask, cells, found, *ctx_, nullptr).code(), status_code::out_of_memory);
}

}  // namespace
}  // namespace tmx::test
