#include "backend/runs/ubatch_runs.h"

#include <algorithm>
#include <cstring>

#include "backend/runs/row_positions.h"

namespace tmx {
namespace {

struct own_row {
    int32_t cell = -1;  // on the stream's key axis; -1: there is none, or no position
    int32_t position = -1;
    mask_reason reason = mask_reason::cell_range;  // if there is none
};

std::vector<own_row> read_rows(const ubatch_view & view, const cell_table & table, const key_probe & keys) {
    std::vector<own_row> rows(static_cast<size_t>(view.n_stream * view.n_rows));
    const std::vector<int32_t> ranks =
        view.positions == nullptr ? positions_from_mask(view, table, keys) : std::vector<int32_t>{};
    const int32_t * positions = view.positions == nullptr ? ranks.data() : view.positions;
    for (int64_t i = 0; i < view.n_stream * view.n_rows; ++i) {
        // Unsigned: an index before the stream's first cell becomes a huge one, and nothing can overflow.
        const uint64_t cell = static_cast<uint64_t>(view.own_cells[i]) -
                              static_cast<uint64_t>(view.first_cell[static_cast<size_t>(i / view.n_rows)]);
        own_row & row = rows[static_cast<size_t>(i)];
        if (cell >= static_cast<uint64_t>(view.n_kv)) {
            continue;
        }
        if (positions[i] >= 0) {
            row = {static_cast<int32_t>(cell), positions[i]};
        } else {
            row.reason = reason_of(positions[i]);
        }
    }
    return rows;
}

// What can be told from two entries: the row sees its own cell, which the row before it does not.
bool may_continue(const uint16_t * mask, const uint16_t * mask_before, const own_row & row, const own_row & before) {
    return row.cell >= 0 && before.cell >= 0 && row.position == before.position + 1 &&
           mask[row.cell] == ubatch_view::k_visible && mask_before[row.cell] == ubatch_view::k_hidden;
}

// Whether two rows are bytewise equal but for one cell, visible in the later one and hidden in the one before.
bool adds_only(int64_t cell, const uint16_t * mask, const uint16_t * mask_before, int64_t n_kv) {
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

// Well spread numbers in [0, n), the same ones every time.
class spread {
  public:
    explicit spread(int64_t seed) : state_(static_cast<uint64_t>(seed) * 0x9e3779b97f4a7c15u + 1) {}
    int64_t below(int64_t n) {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<int64_t>((state_ >> 33) % static_cast<uint64_t>(n));
    }

  private:
    uint64_t state_;
};

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
        const bool threads_pay = !sampled && n * view_.n_kv >= k_worth_threads;
#pragma omp parallel for num_threads(n_threads) schedule(static) if (threads_pay)
        for (int64_t i = 0; i < n; ++i) {
            const int64_t row = i % n_rows;
            if (row > 0) {
                const int64_t stream = i / n_rows;
                const auto at = static_cast<size_t>(i);
                const uint16_t * mask = view_.mask_row(stream, row);
                const uint16_t * mask_before = view_.mask_row(stream, row - 1);
                continues_[at] = may_continue(mask, mask_before, rows_[at], rows_[at - 1]) &&
                                 (sampled || adds_only(rows_[at].cell, mask, mask_before, view_.n_kv));
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
        if (reading_ == mask_reading::sampled && !samples_agree(run)) {
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

    bool samples_agree(const causal_run & run) const {
        return rows_agree(run) && last_row_agrees(run);
    }

    // Of every row: the first rank, which a window drops first. Of some rows: ranks that it must see and must not see,
    // and cells in which it must equal the row before. Each read misses the cache.
    bool rows_agree(const causal_run & run) const {
        constexpr int64_t k_rows_apart = 8;
        constexpr int k_samples = 6;
        const int64_t n_ranks = run.rank_begin + run.rows();
        for (int64_t row = run.row_begin; row < run.row_end; ++row) {
            const int64_t rank = run.rank_begin + row - run.row_begin;
            const uint16_t * mask = view_.mask_row(run.stream, row);
            spread random(rank);
            uint16_t seen = mask[run.cell_of(0)];
            bool agree = true;
            for (int i = 0; i < k_samples && row % k_rows_apart == 0; ++i) {
                seen |= mask[run.cell_of(random.below(rank + 1))];
                if (rank + 1 < n_ranks) {
                    const int64_t later = rank + 1 + random.below(n_ranks - rank - 1);
                    agree = agree && mask[run.cell_of(later)] == ubatch_view::k_hidden;
                }
                if (row > run.row_begin) {
                    const int64_t cell = random.below(view_.n_kv);
                    agree = agree && (mask[cell] == view_.mask_row(run.stream, row - 1)[cell] ||
                                      cell == rows_[index(run.stream, row)].cell);
                }
            }
            if (!agree || seen != ubatch_view::k_visible) {
                return false;
            }
        }
        return true;
    }

    // The last row sees what the first one sees, and the run's own cells: as many as its rank says, and no others.
    bool last_row_agrees(const causal_run & run) const {
        const uint16_t * first = view_.mask_row(run.stream, run.row_begin);
        const uint16_t * last = view_.mask_row(run.stream, run.row_end - 1);
        const mask_counts counts = count_entries(last, view_.n_kv);
        bool all_kept = true;
        for (int64_t cell = 0; cell < view_.n_kv; ++cell) {
            all_kept &= first[cell] != ubatch_view::k_visible || last[cell] == ubatch_view::k_visible;
        }
        for (int64_t row = run.row_begin; row < run.row_end; ++row) {
            all_kept &= last[rows_[index(run.stream, row)].cell] == ubatch_view::k_visible;
        }
        return all_kept && counts.visible == run.rank_begin + run.rows() &&
               counts.visible + counts.hidden == view_.n_kv;
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
    }
    return "unknown";
}

ubatch_runs all_masked(int64_t n_stream, int64_t n_rows, mask_reason reason) {
    ubatch_runs result;
    for (int64_t stream = 0; stream < n_stream; ++stream) {
        result.masked.push_back({static_cast<int32_t>(stream), 0, n_rows, reason, -1});
    }
    return result;
}

ubatch_runs find_runs(const ubatch_view & view, const cell_table & table, const key_probe & keys, int n_threads) {
    return std::move(run_finder(view, table, keys, mask_reading::complete, n_threads).find());
}

void learn_rows(const ubatch_view & view, cell_table & table, const key_probe & keys) {
    const std::vector<own_row> rows = read_rows(view, table, keys);
    for (size_t i = 0; i < rows.size(); ++i) {
        const auto row = static_cast<int64_t>(i);
        if (rows[i].cell < 0) {
            table.forget(view.own_cells[i], 1);
            continue;
        }
        if (view.mask_row(row / view.n_rows, row % view.n_rows)[rows[i].cell] == ubatch_view::k_hidden) {
            table = {};
            return;
        }
        table.learn(view.own_cells[i], rows[i].position, keys);
    }
}

std::optional<ubatch_runs> find_runs_sampled(const ubatch_view & view, const cell_table & table,
                                             const key_probe & keys) {
    run_finder finder(view, table, keys, mask_reading::sampled, 1);
    ubatch_runs & found = finder.find();
    return finder.regular() ? std::optional(std::move(found)) : std::nullopt;
}

bool mask_confirms(const ubatch_view & view, const ubatch_runs & found, int64_t part, int64_t n_parts) {
    int64_t n_rows = 0;
    for (const causal_run & run : found.runs) {
        n_rows += run.rows();
    }
    const int64_t begin = part * n_rows / n_parts;
    const int64_t end = (part + 1) * n_rows / n_parts;
    int64_t before = 0;  // rows of the runs so far
    for (const causal_run & run : found.runs) {
        const int64_t first = std::max(run.row_begin + 1, run.row_begin + begin - before);
        const int64_t last = std::min(run.row_end, run.row_begin + end - before);
        for (int64_t row = first; row < last; ++row) {
            const int64_t cell = run.cell_of(run.rank_begin + row - run.row_begin);
            if (!adds_only(cell, view.mask_row(run.stream, row), view.mask_row(run.stream, row - 1), view.n_kv)) {
                return false;
            }
        }
        before += run.rows();
    }
    return true;
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
