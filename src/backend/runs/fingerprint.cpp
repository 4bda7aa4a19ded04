#include "backend/runs/fingerprint.h"

#include <cstddef>
#include <cstring>

namespace tmx {
namespace {

class hasher {
  public:
    void add(const void * data, size_t bytes) {
        const auto * at = static_cast<const unsigned char *>(data);
        for (; bytes >= sizeof(uint64_t); bytes -= sizeof(uint64_t), at += sizeof(uint64_t)) {
            uint64_t word;
            std::memcpy(&word, at, sizeof(word));
            mix(word);
        }
        uint64_t rest = 0;
        for (size_t i = 0; i < bytes; ++i) {
            rest = rest << 8 | at[i];
        }
        mix(rest);
    }
    uint64_t value() const { return state_; }

  private:
    void mix(uint64_t word) {
        state_ = (state_ ^ word) * 0x9e3779b97f4a7c15u;
        state_ ^= state_ >> 32;
    }
    uint64_t state_ = 0x243f6a8885a308d3u;
};

}  // namespace

uint64_t fingerprint(const ubatch_view & view, const ubatch_runs & found) {
    hasher hash;
    const size_t row_bytes = static_cast<size_t>(view.n_kv) * sizeof(uint16_t);
    const auto add_rows = [&](int32_t stream, int64_t begin, int64_t end) {
        for (const int64_t row : {begin, begin + (end - begin) / 2, end - 1}) {
            hash.add(view.mask_row(stream, row), row_bytes);
        }
    };
    for (const causal_run & run : found.runs) {
        add_rows(run.stream, run.row_begin, run.row_end);
    }
    for (const masked_rows & rows : found.masked) {
        add_rows(rows.stream, rows.row_begin, rows.row_end);
    }
    hash.add(view.output_rows.data(), view.output_rows.size_bytes());
    hash.add(&view.outputs_known, sizeof(view.outputs_known));
    return hash.value();
}

}  // namespace tmx
