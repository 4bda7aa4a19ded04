#include "backend/runs/sampled_rows.h"

#include <cstddef>
#include <cstdint>

#include "backend/runs/mask_rows.h"

namespace tmx {
namespace {

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

// Of every row: the first rank, which a window drops first. Of some rows: ranks that it must see and must not see,
// and cells in which it must equal the row before. Each read misses the cache.
bool rows_agree(const ubatch_view & view, std::span<const own_row> rows, const causal_run & run) {
    constexpr int64_t k_rows_apart = 8;
    constexpr int k_samples = 6;
    const int64_t n_ranks = run.rank_begin + run.rows();
    for (int64_t row = run.row_begin; row < run.row_end; ++row) {
        const int64_t rank = run.rank_begin + row - run.row_begin;
        const uint16_t * mask = view.mask_row(run.stream, row);
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
                const int64_t cell = random.below(view.n_kv);
                agree = agree && (mask[cell] == view.mask_row(run.stream, row - 1)[cell] ||
                                  cell == rows[static_cast<size_t>(run.stream * view.n_rows + row)].cell);
            }
        }
        if (!agree || seen != ubatch_view::k_visible) {
            return false;
        }
    }
    return true;
}

// The last row sees what the first one sees, and the run's own cells: as many as its rank says, and no others.
bool last_row_agrees(const ubatch_view & view, std::span<const own_row> rows, const causal_run & run) {
    const uint16_t * first = view.mask_row(run.stream, run.row_begin);
    const uint16_t * last = view.mask_row(run.stream, run.row_end - 1);
    const mask_counts counts = count_entries(last, view.n_kv);
    bool all_kept = true;
    for (int64_t cell = 0; cell < view.n_kv; ++cell) {
        all_kept &= first[cell] != ubatch_view::k_visible || last[cell] == ubatch_view::k_visible;
    }
    for (int64_t row = run.row_begin; row < run.row_end; ++row) {
        all_kept &= last[rows[static_cast<size_t>(run.stream * view.n_rows + row)].cell] == ubatch_view::k_visible;
    }
    return all_kept && counts.visible == run.rank_begin + run.rows() && counts.visible + counts.hidden == view.n_kv;
}

}  // namespace

bool samples_agree(const ubatch_view & view, std::span<const own_row> rows, const causal_run & run) {
    return rows_agree(view, rows, run) && last_row_agrees(view, rows, run);
}

}  // namespace tmx
