#include "ggml/ubatch_runs.h"

#include <algorithm>
#include <cstring>

namespace tmx {
namespace {

struct own_row {
    int32_t cell = -1;  // on the stream's key axis; -1: cell or position out of range
    int32_t position = -1;
};

std::vector<own_row> read_rows(const ubatch_view & view) {
    std::vector<own_row> rows(static_cast<size_t>(view.n_stream * view.n_rows));
    for (int64_t i = 0; i < view.n_stream * view.n_rows; ++i) {
        // Unsigned: an index before the stream's first cell becomes a huge one, and nothing can overflow.
        const uint64_t cell = static_cast<uint64_t>(view.own_cells[i]) -
                              static_cast<uint64_t>(view.first_cell[static_cast<size_t>(i / view.n_rows)]);
        const int32_t position = view.positions[i];
        if (cell < static_cast<uint64_t>(view.n_kv) && position >= 0) {
            rows[static_cast<size_t>(i)] = {static_cast<int32_t>(cell), position};
        }
    }
    return rows;
}

// Whether row sees exactly what the row before it sees, and its own cell: bytewise equal but for that entry.
bool continues(const uint16_t * mask, const uint16_t * mask_before, const own_row & row, const own_row & before,
               int64_t n_kv) {
    if (row.cell < 0 || before.cell < 0 || row.position != before.position + 1) {
        return false;
    }
    const int64_t cell = row.cell;
    return mask[cell] == ubatch_view::k_visible && mask_before[cell] == ubatch_view::k_hidden &&
           std::memcmp(mask, mask_before, static_cast<size_t>(cell) * sizeof(uint16_t)) == 0 &&
           std::memcmp(mask + cell + 1, mask_before + cell + 1,
                       static_cast<size_t>(n_kv - cell - 1) * sizeof(uint16_t)) == 0;
}

struct mask_counts {
    int64_t visible = 0;
    int64_t hidden = 0;
};

mask_counts count_entries(const uint16_t * mask, int64_t n_kv) {
    mask_counts counts;
    for (int64_t j = 0; j < n_kv; ++j) {
        counts.visible += mask[j] == ubatch_view::k_visible;
        counts.hidden += mask[j] == ubatch_view::k_hidden;
    }
    return counts;
}

class run_finder {
  public:
    run_finder(const ubatch_view & view, cell_table & table, const key_probe & keys, int n_threads)
        : view_(view), table_(table), keys_(keys), rows_(read_rows(view)), continues_(rows_.size()) {
        check_continuations(n_threads);
        read_output_rows();
    }

    ubatch_runs find() {
        for (int64_t stream = 0; stream < view_.n_stream; ++stream) {
            for (int64_t row = 0; row < view_.n_rows;) {
                int64_t end = row + 1;
                while (end < view_.n_rows && continues_[index(stream, end)]) {
                    ++end;
                }
                add(stream, row, end);
                row = end;
            }
        }
        return std::move(found_);
    }

  private:
    size_t index(int64_t stream, int64_t row) const { return static_cast<size_t>(stream * view_.n_rows + row); }

    void check_continuations(int n_threads) {
        const auto n = static_cast<int64_t>(rows_.size());
        const int64_t n_rows = view_.n_rows;
        constexpr int64_t k_worth_threads = 1 << 20;  // mask entries; fewer are read sooner than threads are woken
        const bool threads_pay = n * view_.n_kv >= k_worth_threads;
#pragma omp parallel for num_threads(n_threads) schedule(static) if (threads_pay)
        for (int64_t i = 0; i < n; ++i) {
            const int64_t row = i % n_rows;
            if (row > 0) {
                const int64_t stream = i / n_rows;
                const auto at = static_cast<size_t>(i);
                continues_[at] = continues(view_.mask_row(stream, row), view_.mask_row(stream, row - 1), rows_[at],
                                           rows_[at - 1], view_.n_kv);
            }
        }
    }

    // One flag a row, so that duplicates and any order are harmless. An index out of range makes all rows output rows.
    void read_output_rows() {
        is_output_.assign(rows_.size(), !view_.outputs_known);
        for (const int32_t row : view_.output_rows) {
            if (row < 0 || static_cast<size_t>(row) >= is_output_.size()) {
                std::fill(is_output_.begin(), is_output_.end(), uint8_t{1});
                return;
            }
            is_output_[static_cast<size_t>(row)] = 1;
        }
    }

    void add_masked(int64_t stream, int64_t begin, int64_t end, mask_reason reason) {
        if (!found_.masked.empty()) {
            masked_rows & last = found_.masked.back();
            if (last.stream == stream && last.row_end == begin && last.reason == reason) {
                last.row_end = end;
                return;
            }
        }
        found_.masked.push_back({static_cast<int32_t>(stream), begin, end, reason});
    }

    void add(int64_t stream, int64_t begin, int64_t end) {
        const own_row & first = rows_[index(stream, begin)];
        if (first.cell < 0) {
            return add_masked(stream, begin, end, mask_reason::cell_range);
        }
        const uint16_t * mask = view_.mask_row(stream, begin);
        const mask_counts counts = count_entries(mask, view_.n_kv);
        if (counts.visible + counts.hidden != view_.n_kv || mask[first.cell] != ubatch_view::k_visible) {
            return add_masked(stream, begin, end, mask_reason::mask_values);
        }
        if (counts.visible != int64_t{first.position} + 1) {
            return add_masked(stream, begin, end, mask_reason::visible_count);
        }
        causal_run run{.stream = static_cast<int32_t>(stream),
                       .row_begin = begin,
                       .row_end = end,
                       .rank_begin = first.position,
                       .key_begin = 0,
                       .cells = {},
                       .output_rows = {}};
        if (!set_keys(run, mask, first.cell)) {
            return add_masked(stream, begin, end, mask_reason::cell_order);
        }
        for (int64_t row = begin; row < end; ++row) {
            const size_t at = index(stream, row);
            table_.learn(view_.own_cells[at], rows_[at].position, keys_);
            if (is_output_[at] != 0) {
                run.output_rows.push_back(row - begin);
            }
        }
        found_.runs.push_back(std::move(run));
    }

    // Rank -> cell: what the first row sees, in order, then the run's own cells.
    bool set_keys(causal_run & run, const uint16_t * mask, int32_t first_cell) {
        std::vector<int32_t> before;
        before.reserve(static_cast<size_t>(run.rank_begin + run.rows()));
        for (int64_t cell = 0; cell < view_.n_kv; ++cell) {
            if (mask[cell] == ubatch_view::k_visible && cell != first_cell) {
                before.push_back(static_cast<int32_t>(cell));
            }
        }
        std::vector<int32_t> cells = table_.order(before, view_.first_cell[static_cast<size_t>(run.stream)], keys_);
        if (cells.size() != before.size()) {
            return false;
        }
        for (int64_t row = run.row_begin; row < run.row_end; ++row) {
            cells.push_back(rows_[index(run.stream, row)].cell);
        }
        run.key_begin = cells.front();
        bool one_stretch = true;
        for (size_t rank = 1; rank < cells.size(); ++rank) {
            one_stretch = one_stretch && cells[rank] == cells[rank - 1] + 1;
        }
        if (!one_stretch) {
            run.cells = std::move(cells);
        }
        return true;
    }

    const ubatch_view & view_;
    cell_table & table_;
    const key_probe & keys_;
    std::vector<own_row> rows_;
    std::vector<uint8_t> continues_;  // bytes, not bits: written by several threads
    std::vector<uint8_t> is_output_;
    ubatch_runs found_;
};

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

const char * to_string(mask_reason reason) {
    switch (reason) {
        case mask_reason::no_mask:
            return "no_mask";
        case mask_reason::no_layer:
            return "no_layer";
        case mask_reason::no_inputs:
            return "no_inputs";
        case mask_reason::positions_2d:
            return "positions_2d";
        case mask_reason::mask_per_head:
            return "mask_per_head";
        case mask_reason::cell_range:
            return "cell_range";
        case mask_reason::mask_values:
            return "mask_values";
        case mask_reason::visible_count:
            return "visible_count";
        case mask_reason::cell_order:
            return "cell_order";
    }
    return "unknown";
}

ubatch_runs all_masked(int64_t n_stream, int64_t n_rows, mask_reason reason) {
    ubatch_runs result;
    for (int64_t stream = 0; stream < n_stream; ++stream) {
        result.masked.push_back({static_cast<int32_t>(stream), 0, n_rows, reason});
    }
    return result;
}

ubatch_runs find_runs(const ubatch_view & view, cell_table & table, const key_probe & keys, int n_threads) {
    return run_finder(view, table, keys, n_threads).find();
}

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
