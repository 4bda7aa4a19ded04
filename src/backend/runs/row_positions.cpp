#include "backend/runs/row_positions.h"

#include <algorithm>

namespace tmx {
namespace {

constexpr int32_t k_out_of_range = -1;
// Far from whatever a host may give as a position.
constexpr int32_t k_differ = INT32_MIN;
constexpr int32_t k_uncertain = INT32_MIN + 1;
constexpr int32_t k_other_values = INT32_MIN + 2;
constexpr int32_t k_from_table = INT32_MIN + 3;

// The rows of one stream.
class stream_ranks {
  public:
    stream_ranks(const ubatch_view & view, int64_t stream, const cell_table & table, const key_probe & keys)
        : view_(view),
          stream_(stream),
          first_cell_(view.first_cell[static_cast<size_t>(stream)]),
          table_(table),
          keys_(keys),
          of_cell_(static_cast<size_t>(view.n_kv), k_from_table) {
        for (int64_t row = 0; row < view.n_rows; ++row) {
            if (const int64_t cell = own_cell(row); cell >= 0) {
                of_cell_[static_cast<size_t>(cell)] = k_uncertain;  // whatever the table says of the key before
            }
        }
    }

    void find(int32_t * positions) {
        for (int64_t row = 0; row < view_.n_rows; ++row) {
            const int64_t cell = own_cell(row);
            if (cell < 0) {
                positions[row] = k_out_of_range;
                continue;
            }
            if (goes_on(row) && (positions[row - 1] >= 0 || positions[row - 1] == k_uncertain)) {
                positions[row] = positions[row - 1] >= 0 ? positions[row - 1] + 1 : k_uncertain;
            } else {
                positions[row] = counted(row, cell);
            }
            of_cell_[static_cast<size_t>(cell)] = positions[row];
        }
    }

  private:
    // On the stream's key axis; -1: outside.
    int64_t own_cell(int64_t row) const {
        const uint64_t cell =
            static_cast<uint64_t>(view_.own_cells[stream_ * view_.n_rows + row]) - static_cast<uint64_t>(first_cell_);
        return cell < static_cast<uint64_t>(view_.n_kv) ? static_cast<int64_t>(cell) : -1;
    }

    // Whether the row sees the key of the row before it, and its own, which that one does not see.
    bool goes_on(int64_t row) const {
        const int64_t before = row > 0 ? own_cell(row - 1) : -1;
        if (before < 0) {
            return false;
        }
        const uint16_t * mask = view_.mask_row(stream_, row);
        const int64_t cell = own_cell(row);
        return mask[before] == ubatch_view::k_visible && mask[cell] == ubatch_view::k_visible &&
               view_.mask_row(stream_, row - 1)[cell] == ubatch_view::k_hidden;
    }

    int32_t counted(int64_t row, int64_t cell) {
        const uint16_t * mask = view_.mask_row(stream_, row);
        const auto n_visible = std::count(mask, mask + view_.n_kv, ubatch_view::k_visible);
        const auto n_hidden = std::count(mask, mask + view_.n_kv, ubatch_view::k_hidden);
        if (n_visible + n_hidden != view_.n_kv || mask[cell] != ubatch_view::k_visible) {
            return k_other_values;
        }
        seen_.assign(static_cast<size_t>(n_visible - 1), 0);
        for (int64_t other = 0; other < view_.n_kv; ++other) {
            if (mask[other] != ubatch_view::k_visible || other == cell) {
                continue;
            }
            const int32_t known = of_cell_[static_cast<size_t>(other)];
            const int32_t rank = known == k_from_table ? table_.position(first_cell_ + other, keys_) : known;
            if (rank < 0 || rank >= n_visible - 1 || seen_[static_cast<size_t>(rank)] != 0) {
                return k_uncertain;
            }
            seen_[static_cast<size_t>(rank)] = 1;
        }
        return static_cast<int32_t>(n_visible - 1);
    }

    const ubatch_view & view_;
    int64_t stream_;
    int64_t first_cell_;
    const cell_table & table_;
    const key_probe & keys_;
    std::vector<int32_t> of_cell_;  // ranks of the keys that this ubatch writes
    std::vector<uint8_t> seen_;     // by rank
};

}  // namespace

mask_reason reason_of(int32_t position) {
    switch (position) {
        case k_differ:
            return mask_reason::positions_2d;
        case k_uncertain:
            return mask_reason::no_inputs;
        case k_other_values:
            return mask_reason::mask_values;
        default:
            return mask_reason::cell_range;
    }
}

std::vector<int32_t> text_positions(const int32_t * sections, int64_t n_tokens, int64_t n_sections) {
    constexpr int64_t k_used_sections = 3;
    std::vector<int32_t> positions(sections, sections + n_tokens);
    for (int64_t section = 1; section < std::min(n_sections, k_used_sections); ++section) {
        for (int64_t token = 0; token < n_tokens; ++token) {
            if (sections[section * n_tokens + token] != sections[token]) {
                positions[static_cast<size_t>(token)] = k_differ;
            }
        }
    }
    return positions;
}

std::vector<int32_t> positions_from_mask(const ubatch_view & view, const cell_table & table, const key_probe & keys) {
    std::vector<int32_t> positions(static_cast<size_t>(view.n_stream * view.n_rows));
    for (int64_t stream = 0; stream < view.n_stream; ++stream) {
        stream_ranks(view, stream, table, keys).find(positions.data() + stream * view.n_rows);
    }
    return positions;
}

}  // namespace tmx
