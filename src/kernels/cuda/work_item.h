// What one thread block computes, as host and device see it: some query rows times some query heads of one key head,
// over a walk through keys. The walk is a sequence of SLICES of 16 keys with consecutive ranks; a TILE is a fixed
// number of slices. Slices may start at any rank, so a tile can join the end of the sink with the start of the window,
// and blocks of an explicit list with each other.
//
// Ranks and indices are 32-bit here: cuda_declines() refuses longer axes.
#pragma once

#include <cstdint>
#include <limits>

#include "trianglemix/geometry.h"

namespace tmx::cuda {

constexpr int32_t k_slice = 16;       // keys; the depth of one MMA of weights x values
constexpr int32_t k_item_rows = 128;  // packed rows (positions x heads) of an item, at most

// The last part of a walk: `tile_begin`..`tile_end` number its tiles over the whole walk, so that all parts of a split
// item agree on what a tile holds.
struct work_item {
    int32_t batch;     // of q, out and lse
    int32_t kv_batch;  // of k and v
    int32_t head_kv;
    int32_t head_begin;  // query heads [head_begin, head_begin + n_heads)
    int32_t n_heads;
    int32_t row_begin;  // rows [row_begin, row_begin + n_rows) of n_q
    int32_t n_rows;
    int32_t rank_begin;  // rank of row_begin
    int32_t key_base;    // index on the key axis of rank 0
    int32_t n_sink;      // the band, cut to 32 bits
    int32_t n_window;
    int32_t sink_keys;     // the walk's first piece: ranks [0, sink_keys)
    int32_t window_begin;  // its second: ranks [window_begin, key_end)
    int32_t key_end;
    int32_t list_begin;  // >= 0: instead, blocks from here on in the list of first ranks
    int32_t list_shift;  // log2 of the slices of a block
    int32_t n_slices;    // of the whole walk
    int32_t tile_begin;
    int32_t tile_end;
    int32_t full_begin;  // tiles [full_begin, full_end) need no element mask
    int32_t full_end;
    int32_t partial;    // -1: the result is final; else the slot of partial results to write
    int32_t unused[2];  // the size is a multiple of 16 bytes

    TMX_HOST_DEVICE constexpr band kept() const {
        return n_window == std::numeric_limits<int32_t>::max() ? band{} : band{n_sink, n_window};
    }
    TMX_HOST_DEVICE constexpr int32_t sink_slices() const { return (sink_keys + k_slice - 1) / k_slice; }
    TMX_HOST_DEVICE constexpr int32_t packed_rows() const { return n_rows * n_heads; }
};
static_assert(sizeof(work_item) == 96);

// Rank of the first key of a slice; far beyond any row if the walk has no such slice.
TMX_HOST_DEVICE constexpr int32_t slice_rank(const work_item & item, const int32_t * first_rank, int32_t slice) {
    if (slice >= item.n_slices) {
        return std::numeric_limits<int32_t>::max() / 2;
    }
    if (item.list_begin >= 0) {
        return first_rank[item.list_begin + (slice >> item.list_shift)] +
               (slice & ((1 << item.list_shift) - 1)) * k_slice;
    }
    const int32_t behind = slice - item.sink_slices();
    return behind < 0 ? slice * k_slice : item.window_begin + behind * k_slice;
}

// Keys of a slice from this rank on are none that the walk visits: they may hold anything.
TMX_HOST_DEVICE constexpr int32_t slice_limit(const work_item & item, int32_t slice) {
    return item.list_begin < 0 && slice < item.sink_slices() ? item.sink_keys : item.key_end;
}

// Query row and head of a packed row: heads of one position lie side by side.
struct packed_row {
    int32_t position;  // of the item's n_rows
    int32_t head;      // of its n_heads
};
TMX_HOST_DEVICE constexpr packed_row unpack(const work_item & item, int32_t row) {
    return {row / item.n_heads, row % item.n_heads};
}

// Parts [first_partial, first_partial + n_parts) of one split item, to be combined. `item` is any of its parts.
struct combine_item {
    int32_t item;
    int32_t first_partial;
    int32_t n_parts;
    int32_t unused;
};

}  // namespace tmx::cuda
