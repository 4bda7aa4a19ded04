// A stand-in for llama.cpp's unified KV cache: hands out cells, keeps who owns them, and writes the inputs of a ubatch
// as llama.cpp does. The truth that find_runs() is held against.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/runs/cell_table.h"
#include "backend/runs/ubatch_runs.h"

namespace tmx::test {

struct fake_cell {
    int32_t user = -1;  // -1: empty
    int32_t position = -1;
};

// One row of a ubatch to build.
struct fake_row {
    int32_t user = 0;
    bool output = false;
};

struct fake_ubatch {
    int64_t n_stream = 1;
    int64_t n_rows = 0;
    int64_t n_kv = 0;
    std::vector<uint16_t> mask;
    std::vector<int32_t> positions;
    bool has_positions = true;  // false: the view shows none
    std::vector<int64_t> own_cells;
    std::vector<int64_t> first_cell{0};
    std::vector<int32_t> output_rows;
    bool outputs_known = true;

    ubatch_view view() const;
    uint16_t & mask_at(int64_t row, int64_t cell) { return mask[static_cast<size_t>(row * n_kv + cell)]; }
    bool visible(int64_t stream, int64_t row, int64_t cell) const;
    // Takes out what a sliding window drops, if row r's own key is in cell r.
    void hide_beyond(int64_t n_window);
};

std::vector<int32_t> cell_range(int32_t begin, int32_t end);

class fake_cache {
  public:
    explicit fake_cache(int64_t n_cells);

    // Places the rows' keys as llama.cpp's find_slot does and writes the ubatch's inputs.
    fake_ubatch add(const std::vector<fake_row> & rows);
    fake_ubatch add_prompt(int32_t user, int64_t n_rows, bool last_is_output = true);

    // The next ubatch goes to exactly these cells, in order.
    void force_cells(std::vector<int32_t> cells) { forced_ = std::move(cells); }

    void remove(int32_t user, int32_t from_position = 0);
    // Moves a user's keys elsewhere without anybody seeing it, as a restored state does.
    void move_to(int32_t user, const std::vector<int32_t> & cells);

    // Gives a user these cells, by position, as a restored state does.
    void place(int32_t user, const std::vector<int32_t> & cells);

    int32_t length(int32_t user) const;
    const std::vector<fake_cell> & cells() const { return cells_; }
    key_probe keys() const;  // a user's key at a position is like no other

  private:
    int32_t take_cell();
    void put(int32_t cell, int32_t user, int32_t position);

    std::vector<fake_cell> cells_;
    std::vector<uint64_t> key_bytes_;  // two words a cell
    std::vector<int32_t> forced_;
    size_t head_ = 0;
};

// As every caller of find_runs() does: learn_rows() first.
ubatch_runs learn_and_find(const ubatch_view & view, cell_table & table, const key_probe & keys, int n_threads);

// Every row in exactly one run or masked stretch; and each run's row keeps exactly the cells that its mask row shows.
void expect_exact_cover(const fake_ubatch & ubatch, const ubatch_runs & found);

// Every run is said to be in order, and is: rank and position are the same number all along.
bool in_true_order(const fake_cache & cache, const ubatch_runs & found);

}  // namespace tmx::test
