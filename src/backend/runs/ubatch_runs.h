// What one ubatch holds: its inputs as plain arrays, and its rows cut into causal runs (find_runs.h).
//
// A causal run is a stretch of consecutive rows of one sequence. It is only called one after its whole mask was
// checked: the first row sees exactly as many cells as its position says (so nothing was dropped by a window and
// nothing of the future is visible), and every further row sees the same and its own cell. All other rows are masked
// rows, which are computed exactly, entry by entry; each with the reason.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tmx {

// Why rows are computed through their mask. The names appear in statistics and docs/backend.md.
enum class mask_reason : uint8_t {
    no_mask,        // the node has no mask: every row sees every key
    no_layer,       // keys are no view of a cache named cache_k_l<layer>
    no_inputs,      // the graph holds no positions or no cell indices that fit this node, and the mask does not tell
    positions_2d,   // several positions that differ (M-RoPE, a row of an image)
    mask_per_head,  // heads have different masks
    cell_range,     // a row's cell or position is out of range
    mask_values,    // entries other than 0 and -inf (ALiBi), or a row that does not see itself
    visible_count,  // sees more or fewer cells than its position says: window, non-causal, removed tokens
};
constexpr int k_mask_reasons = 8;
const char * to_string(mask_reason reason);

// A mask that the host cannot read where it is. What tells most of a prompt's mask was found out there.
class far_mask {
  public:
    virtual ~far_mask() = default;

    // The entries of a row, counted over all streams, copied when they are first asked for; good as long as this is.
    // REQUIRES the mask has not changed. Throws bad_alloc.
    virtual const uint16_t * row(int64_t i) = 0;

    // About the row's own cell, where it has one in range: k_hides_own, k_adds_own (trianglemix/cuda_mask_rows.h).
    virtual uint8_t own_entry(int64_t i) const = 0;
};

// One evaluation's inputs. Non-owning.
struct ubatch_view {
    static constexpr uint16_t k_visible = 0x0000;  // f16 0
    static constexpr uint16_t k_hidden = 0xfc00;   // f16 -inf

    const uint16_t * mask = nullptr;  // [n_stream, n_rows, n_kv] f16 bits, strides below, entries contiguous
    int64_t mask_stride_stream = 0;   // elements; 0 if all streams share one mask
    int64_t mask_stride_row = 0;      // elements
    int64_t n_stream = 0;
    int64_t n_rows = 0;        // rows a stream
    int64_t n_kv = 0;          // cells a stream
    far_mask * far = nullptr;  // the mask, in place of the three above; what it says is about own_cells
    // [n_stream, n_rows], or a reason for having none (row_positions.h); null: a model without positions, in which a
    // row's place is how many rows its mask shows before it.
    const int32_t * positions = nullptr;
    const int64_t * own_cells = nullptr;   // [n_stream, n_rows] cell of each row's key, counted over the whole cache
    std::span<const int64_t> first_cell;   // [n_stream] the stream's cell 0, counted over the whole cache
    std::span<const int32_t> output_rows;  // rows counted over all streams, whose logits the host asked for
    bool outputs_known = false;            // false: every row is an output row

    // REQUIRES stream and row in range.
    const uint16_t * mask_row(int64_t stream, int64_t row) const {
        return far != nullptr ? far->row(stream * n_rows + row)
                              : mask + stream * mask_stride_stream + row * mask_stride_row;
    }
};

// What was read of an evaluation's inputs, with what the view points to where the host holds it otherwise.
struct ubatch_inputs {
    std::optional<mask_reason> missing;  // set: rows must be computed through the mask, for this reason
    ubatch_view view;                    // outputs are set even where something is missing
    const void * out_ids = nullptr;      // what names the output rows, for whoever read it
    bool outputs_hidden = false;         // they are not known, but somebody else may know them
    std::vector<int64_t> first_cell;     // what view.first_cell points to
    std::vector<int32_t> positions;      // what view.positions points to where the host holds several a row
};

struct causal_run {
    int32_t stream = 0;
    int64_t row_begin = 0;  // rows of its stream, [row_begin, row_end)
    int64_t row_end = 0;
    int64_t rank_begin = 0;      // rank (= position) of row row_begin
    int64_t key_begin = 0;       // index of rank 0 on the stream's key axis, when cells is empty
    std::vector<int32_t> cells;  // [rank_begin + rows] rank -> index on the key axis; empty: one ascending stretch
    // Whether the keys are certainly in the order of their positions. If not, ranks below rank_begin name the right
    // keys in some order: enough for rows that keep them all, and for those only.
    bool ordered = true;
    std::vector<int64_t> output_rows;  // relative to row_begin, ascending, distinct

    int64_t rows() const { return row_end - row_begin; }
    bool operator==(const causal_run &) const = default;
    // REQUIRES 0 <= rank < rank_begin + rows().
    int64_t cell_of(int64_t rank) const { return cells.empty() ? key_begin + rank : cells[static_cast<size_t>(rank)]; }
};

struct masked_rows {
    int32_t stream = 0;
    int64_t row_begin = 0;
    int64_t row_end = 0;
    mask_reason reason = mask_reason::no_inputs;
    int64_t n_visible = -1;  // entries that are not hidden, over all these rows; < 0: the mask was not read

    int64_t rows() const { return row_end - row_begin; }
};

// Every row of every stream lies in exactly one of the two lists.
struct ubatch_runs {
    std::vector<causal_run> runs;
    std::vector<masked_rows> masked;
    bool outputs_hidden = false;  // as in ubatch_inputs: rows are output rows only because nobody here knows better
};

// All rows masked, for one reason.
ubatch_runs all_masked(int64_t n_stream, int64_t n_rows, mask_reason reason);

}  // namespace tmx
