#include "fake_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "backend/runs/find_runs.h"
#include "backend/runs/own_rows.h"

namespace tmx::test {

ubatch_view fake_ubatch::view() const {
    return {.mask = mask.data(),
            .mask_stride_stream = n_rows * n_kv,
            .mask_stride_row = n_kv,
            .n_stream = n_stream,
            .n_rows = n_rows,
            .n_kv = n_kv,
            .positions = has_positions ? positions.data() : nullptr,
            .own_cells = own_cells.data(),
            .first_cell = first_cell,
            .output_rows = output_rows,
            .outputs_known = outputs_known};
}

bool fake_ubatch::visible(int64_t stream, int64_t row, int64_t cell) const {
    return mask[static_cast<size_t>((stream * n_rows + row) * n_kv + cell)] == ubatch_view::k_visible;
}

void fake_ubatch::hide_beyond(int64_t n_window) {
    for (int64_t row = 0; row < n_rows; ++row) {
        for (int64_t cell = 0; cell + n_window <= row; ++cell) {
            mask_at(row, cell) = ubatch_view::k_hidden;
        }
    }
}

std::vector<int32_t> cell_range(int32_t begin, int32_t end) {
    std::vector<int32_t> cells(static_cast<size_t>(end - begin));
    std::iota(cells.begin(), cells.end(), begin);
    return cells;
}

fake_cache::fake_cache(int64_t n_cells)
    : cells_(static_cast<size_t>(n_cells)), key_bytes_(static_cast<size_t>(n_cells) * 2) {}

int32_t fake_cache::take_cell() {
    if (!forced_.empty()) {
        const int32_t cell = forced_.front();
        forced_.erase(forced_.begin());
        return cell;
    }
    for (size_t tested = 0; tested < cells_.size(); ++tested) {
        const size_t cell = (head_ + tested) % cells_.size();
        if (cells_[cell].user < 0) {
            head_ = cell + 1;
            return static_cast<int32_t>(cell);
        }
    }
    ADD_FAILURE() << "the fake cache is full";
    return 0;
}

void fake_cache::put(int32_t cell, int32_t user, int32_t position) {
    const auto at = static_cast<size_t>(cell);
    cells_[at] = {user, position};
    key_bytes_[at * 2] = static_cast<uint64_t>(user) << 32 | static_cast<uint32_t>(position);
    key_bytes_[at * 2 + 1] = 0x5eed;
}

fake_ubatch fake_cache::add(const std::vector<fake_row> & rows) {
    fake_ubatch ubatch;
    ubatch.n_rows = static_cast<int64_t>(rows.size());
    ubatch.n_kv = static_cast<int64_t>(cells_.size());
    for (size_t row = 0; row < rows.size(); ++row) {
        const int32_t position = length(rows[row].user);
        const int32_t cell = take_cell();
        put(cell, rows[row].user, position);
        ubatch.positions.push_back(position);
        ubatch.own_cells.push_back(cell);
        if (rows[row].output) {
            ubatch.output_rows.push_back(static_cast<int32_t>(row));
        }
    }
    for (size_t row = 0; row < rows.size(); ++row) {
        for (const fake_cell & cell : cells_) {
            const bool visible = cell.user == rows[row].user && cell.position <= ubatch.positions[row];
            ubatch.mask.push_back(visible ? ubatch_view::k_visible : ubatch_view::k_hidden);
        }
    }
    return ubatch;
}

fake_ubatch fake_cache::add_prompt(int32_t user, int64_t n_rows, bool last_is_output) {
    std::vector<fake_row> rows(static_cast<size_t>(n_rows), {user, false});
    rows.back().output = last_is_output;
    return add(rows);
}

void fake_cache::remove(int32_t user, int32_t from_position) {
    for (fake_cell & cell : cells_) {
        if (cell.user == user && cell.position >= from_position) {
            cell = {};
        }
    }
}

void fake_cache::move_to(int32_t user, const std::vector<int32_t> & cells) {
    const int32_t n = length(user);
    ASSERT_EQ(static_cast<size_t>(n), cells.size());
    remove(user);
    place(user, cells);
}

void fake_cache::place(int32_t user, const std::vector<int32_t> & cells) {
    for (size_t position = 0; position < cells.size(); ++position) {
        put(cells[position], user, static_cast<int32_t>(position));
    }
}

int32_t fake_cache::length(int32_t user) const {
    return static_cast<int32_t>(
        std::count_if(cells_.begin(), cells_.end(), [&](const fake_cell & cell) { return cell.user == user; }));
}

key_probe fake_cache::keys() const {
    return {.base = reinterpret_cast<const std::byte *>(key_bytes_.data()),
            .stride_bytes = 2 * sizeof(uint64_t),
            .rotary = true};
}

ubatch_runs learn_and_find(const ubatch_view & view, cell_table & table, const key_probe & keys, int n_threads) {
    learn_rows(view, table, keys);
    return find_runs(view, table, keys, n_threads);
}

void expect_exact_cover(const fake_ubatch & ubatch, const ubatch_runs & found) {
    std::vector<int> covered(static_cast<size_t>(ubatch.n_stream * ubatch.n_rows));
    const auto cover = [&](int64_t stream, int64_t begin, int64_t end) {
        ASSERT_TRUE(0 <= stream && stream < ubatch.n_stream && 0 <= begin && begin < end && end <= ubatch.n_rows);
        for (int64_t row = begin; row < end; ++row) {
            covered[static_cast<size_t>(stream * ubatch.n_rows + row)]++;
        }
    };
    for (const masked_rows & rows : found.masked) {
        cover(rows.stream, rows.row_begin, rows.row_end);
    }
    for (const causal_run & run : found.runs) {
        cover(run.stream, run.row_begin, run.row_end);
        for (int64_t row = run.row_begin; row < run.row_end; ++row) {
            const int64_t last_rank = run.rank_begin + row - run.row_begin;
            std::vector<bool> kept(static_cast<size_t>(ubatch.n_kv));
            for (int64_t rank = 0; rank <= last_rank; ++rank) {
                const int64_t cell = run.cells.empty() ? run.key_begin + rank : run.cells.at(static_cast<size_t>(rank));
                ASSERT_TRUE(0 <= cell && cell < ubatch.n_kv) << "row " << row << " rank " << rank;
                kept[static_cast<size_t>(cell)] = true;
            }
            for (int64_t cell = 0; cell < ubatch.n_kv; ++cell) {
                ASSERT_EQ(kept[static_cast<size_t>(cell)], ubatch.visible(run.stream, row, cell))
                    << "row " << row << " cell " << cell;
            }
        }
    }
    for (size_t row = 0; row < covered.size(); ++row) {
        ASSERT_EQ(covered[row], 1) << "row " << row;
    }
}

bool in_true_order(const fake_cache & cache, const ubatch_runs & found) {
    for (const causal_run & run : found.runs) {
        if (!run.ordered) {
            return false;
        }
        for (int64_t rank = 0; rank < run.rank_begin + run.rows(); ++rank) {
            const int64_t cell = run.cells.empty() ? run.key_begin + rank : run.cells[static_cast<size_t>(rank)];
            if (cache.cells()[static_cast<size_t>(cell)].position != rank) {
                return false;
            }
        }
    }
    return true;
}

}  // namespace tmx::test
