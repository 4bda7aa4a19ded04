#include "backend/runs/find_runs.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "backend/runs/mask_rows.h"
#include "backend/runs/own_rows.h"
#include "backend/runs/sampled_rows.h"

namespace tmx {
namespace {

bool follows(const own_row & row, const own_row & before) {
    return row.cell >= 0 && before.cell >= 0 && row.position == before.position + 1;
}

// What can be told from two entries: the row sees its own cell, which the row before it does not.
bool may_continue(const ubatch_view & view, int64_t stream, int64_t row, int32_t cell) {
    return view.mask_row(stream, row)[cell] == ubatch_view::k_visible &&
           view.mask_row(stream, row - 1)[cell] == ubatch_view::k_hidden;
}

enum class mask_reading : uint8_t { complete, sampled };

class run_finder {
  public:
    run_finder(const ubatch_view & view, const cell_table & table, const key_probe & keys, mask_reading reading,
               int n_threads)
        : view_(view),
          table_(table),
          keys_(keys),
          reading_(reading),
          rows_(read_rows(view, table, keys)),
          continues_(rows_.size()) {
        check_continuations(n_threads);
        read_output_rows();
    }

    // Whether samples were all as a causal run has them, and every row found its run.
    bool regular() const { return regular_ && found_.masked.empty(); }

    ubatch_runs & find() {
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
        return found_;
    }

  private:
    size_t index(int64_t stream, int64_t row) const { return static_cast<size_t>(stream * view_.n_rows + row); }

    void check_continuations(int n_threads) {
        const auto n = static_cast<int64_t>(rows_.size());
        const int64_t n_rows = view_.n_rows;
        constexpr int64_t k_worth_threads = 1 << 20;  // mask entries; fewer are read sooner than threads are woken
        const bool sampled = reading_ == mask_reading::sampled;
        const bool threads_pay = !sampled && view_.far == nullptr && n * view_.n_kv >= k_worth_threads;
#pragma omp parallel for num_threads(n_threads) schedule(static) if (threads_pay)
        for (int64_t i = 0; i < n; ++i) {
            const int64_t row = i % n_rows;
            if (row > 0) {
                const int64_t stream = i / n_rows;
                const auto at = static_cast<size_t>(i);
                const int32_t cell = rows_[at].cell;
                continues_[at] =
                    follows(rows_[at], rows_[at - 1]) &&
                    (sampled ? may_continue(view_, stream, row, cell) : adds_own_only(view_, stream, row, cell));
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
        int64_t n_visible = 0;
        for (int64_t row = begin; row < end; ++row) {
            n_visible += view_.n_kv - count_entries(view_.mask_row(stream, row), view_.n_kv).hidden;
        }
        if (!found_.masked.empty()) {
            masked_rows & last = found_.masked.back();
            if (last.stream == stream && last.row_end == begin && last.reason == reason) {
                last.row_end = end;
                last.n_visible += n_visible;
                return;
            }
        }
        found_.masked.push_back({static_cast<int32_t>(stream), begin, end, reason, n_visible});
    }

    void add(int64_t stream, int64_t begin, int64_t end) {
        const own_row & first = rows_[index(stream, begin)];
        if (first.cell < 0) {
            return add_masked(stream, begin, end, first.reason);
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
                       .ordered = true,
                       .output_rows = {}};
        set_keys(run, mask, first.cell);
        if (reading_ == mask_reading::sampled && !samples_agree(view_, rows_, run)) {
            regular_ = false;
            return;
        }
        for (int64_t row = begin; row < end; ++row) {
            if (is_output_[index(stream, row)] != 0) {
                run.output_rows.push_back(row - begin);
            }
        }
        found_.runs.push_back(std::move(run));
    }

    // The common case at a glance: cells [begin, begin + ranks) certainly in order.
    bool one_stretch(const causal_run & run, const uint16_t * mask) const {
        const int64_t begin = int64_t{rows_[index(run.stream, run.row_begin)].cell} - run.rank_begin;
        if (begin < 0 || mask[begin] != ubatch_view::k_visible ||
            std::memcmp(mask + begin, mask + begin + 1, static_cast<size_t>(run.rank_begin) * sizeof(uint16_t)) != 0) {
            return false;
        }
        for (int64_t row = run.row_begin; row < run.row_end; ++row) {
            if (rows_[index(run.stream, row)].cell != begin + run.rank_begin + row - run.row_begin) {
                return false;
            }
        }
        return table_.ascending(view_.first_cell[static_cast<size_t>(run.stream)] + begin, run.rank_begin, keys_);
    }

    // Rank -> cell: what the first row sees, in order, then the run's own cells.
    void set_keys(causal_run & run, const uint16_t * mask, int32_t first_cell) {
        if (one_stretch(run, mask)) {
            run.key_begin = first_cell - run.rank_begin;
            return;
        }
        std::vector<int32_t> before;
        before.reserve(static_cast<size_t>(run.rank_begin + run.rows()));
        for (int64_t cell = 0; cell < view_.n_kv; ++cell) {
            if (mask[cell] == ubatch_view::k_visible && cell != first_cell) {
                before.push_back(static_cast<int32_t>(cell));
            }
        }
        auto [cells, certain] = table_.order(before, view_.first_cell[static_cast<size_t>(run.stream)], keys_);
        run.ordered = certain;
        for (int64_t row = run.row_begin; row < run.row_end; ++row) {
            cells.push_back(rows_[index(run.stream, row)].cell);
        }
        run.key_begin = cells.front();
        bool ascending = true;
        for (size_t rank = 1; rank < cells.size(); ++rank) {
            ascending = ascending && cells[rank] == cells[rank - 1] + 1;
        }
        if (!ascending) {
            run.cells = std::move(cells);
        }
    }

    const ubatch_view & view_;
    const cell_table & table_;
    const key_probe & keys_;
    mask_reading reading_;
    std::vector<own_row> rows_;
    std::vector<uint8_t> continues_;  // bytes, not bits: written by several threads
    std::vector<uint8_t> is_output_;
    bool regular_ = true;
    ubatch_runs found_;
};

}  // namespace

ubatch_runs find_runs(const ubatch_view & view, const cell_table & table, const key_probe & keys, int n_threads) {
    return std::move(run_finder(view, table, keys, mask_reading::complete, n_threads).find());
}

std::optional<ubatch_runs> find_runs_sampled(const ubatch_view & view, const cell_table & table,
                                             const key_probe & keys) {
    run_finder finder(view, table, keys, mask_reading::sampled, 1);
    ubatch_runs & found = finder.find();
    return finder.regular() ? std::optional(std::move(found)) : std::nullopt;
}

}  // namespace tmx
