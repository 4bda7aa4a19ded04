#include "backend/runs/mask_code.h"

#include <algorithm>
#include <cstring>

#include "backend/runs/ubatch_runs.h"

namespace tmx {
namespace {

constexpr size_t k_header_words = 3;
constexpr size_t k_stretch_words = 3;

class encoder {
  public:
    encoder(int64_t n_kv, size_t most_words, std::vector<uint32_t> & code)
        : n_kv_(n_kv), most_words_(most_words), code_(code) {}

    // False: there is no room for it.
    bool add_row(const uint16_t * row, const uint16_t * before) {
        const size_t count = code_.size();
        code_.push_back(0);
        for (int64_t cell = next_change(row, before, 0); cell < n_kv_; cell = next_change(row, before, cell)) {
            const int64_t begin = cell;
            while (cell < n_kv_ && row[cell] == row[begin] && row[cell] != before[cell]) {
                ++cell;
            }
            if (code_.size() + k_stretch_words > most_words_) {
                return false;
            }
            code_.push_back(static_cast<uint32_t>(begin));
            code_.push_back(static_cast<uint32_t>(cell - begin));
            code_.push_back(row[begin]);
            ++code_[count];
        }
        return code_.size() <= most_words_;
    }

  private:
    // The first cell from there on in which the rows differ; n_kv: there is none. Most rows are equal nearly
    // everywhere.
    int64_t next_change(const uint16_t * row, const uint16_t * before, int64_t cell) const {
        constexpr int64_t k_block = 2048;
        while (cell < n_kv_) {
            const int64_t n = std::min(k_block, n_kv_ - cell);
            if (std::memcmp(row + cell, before + cell, static_cast<size_t>(n) * sizeof(uint16_t)) != 0) {
                return std::mismatch(row + cell, row + cell + n, before + cell).first - row;
            }
            cell += n;
        }
        return n_kv_;
    }

    int64_t n_kv_;
    size_t most_words_;
    std::vector<uint32_t> & code_;
};

// Words one after the other, as long as there are any.
class reader {
  public:
    explicit reader(std::span<const uint32_t> words) : words_(words) {}
    bool has(size_t n) const { return words_.size() - at_ >= n; }
    uint32_t next() { return words_[at_++]; }

  private:
    std::span<const uint32_t> words_;
    size_t at_ = 0;
};

bool decode_row(reader & words, uint16_t * row, int64_t n_kv) {
    if (!words.has(1)) {
        return false;
    }
    for (uint32_t left = words.next(); left > 0; --left) {
        if (!words.has(k_stretch_words)) {
            return false;
        }
        const int64_t begin = words.next();
        const int64_t n = words.next();
        const uint32_t entry = words.next();
        if (begin + n > n_kv || entry > 0xffff) {
            return false;
        }
        std::fill_n(row + begin, n, static_cast<uint16_t>(entry));
    }
    return true;
}

}  // namespace

std::vector<uint32_t> encode_mask(const uint16_t * mask, int64_t n_rows, int64_t n_kv, size_t most_bytes) {
    std::vector<uint32_t> code = {k_mask_code, static_cast<uint32_t>(n_rows), static_cast<uint32_t>(n_kv)};
    const std::vector<uint16_t> hidden(static_cast<size_t>(n_kv), ubatch_view::k_hidden);
    encoder rows(n_kv, most_bytes / sizeof(uint32_t), code);
    for (int64_t row = 0; row < n_rows; ++row) {
        if (!rows.add_row(mask + row * n_kv, row > 0 ? mask + (row - 1) * n_kv : hidden.data())) {
            return {};
        }
    }
    return code;
}

bool decode_mask(std::span<const uint32_t> code, int64_t n_rows, int64_t n_kv, int64_t block_rows,
                 const std::function<void(const uint16_t * rows, int64_t first, int64_t n)> & take) {
    reader words(code);
    if (!words.has(k_header_words) || words.next() != k_mask_code || words.next() != n_rows || words.next() != n_kv) {
        return false;
    }
    const auto row_entries = static_cast<size_t>(n_kv);
    std::vector<uint16_t> last(row_entries, ubatch_view::k_hidden);
    std::vector<uint16_t> block(static_cast<size_t>(std::min(block_rows, n_rows)) * row_entries);
    for (int64_t first = 0; first < n_rows; first += block_rows) {
        const int64_t n = std::min(block_rows, n_rows - first);
        for (int64_t row = 0; row < n; ++row) {
            if (!decode_row(words, last.data(), n_kv)) {
                return false;
            }
            std::memcpy(block.data() + static_cast<size_t>(row) * row_entries, last.data(),
                        row_entries * sizeof(uint16_t));
        }
        take(block.data(), first, n);
    }
    return !words.has(1);
}

}  // namespace tmx
