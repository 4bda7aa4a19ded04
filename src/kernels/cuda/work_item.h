// What one thread block computes, as host and device see it: some query rows times some query heads of one key head,
// over a walk through keys. Its PLACE says which rows and heads, and where the result goes: made by the host, once a
// ubatch. Its WALK says which keys: by the host for bands and given lists, by a device kernel for selected blocks
// (walks.h).
//
// A walk is a sequence of SLICES of 16 keys with consecutive ranks; a TILE is a fixed number of slices. Slices may
// start at any rank, so a tile can join the end of the sink with the start of the window, and blocks of a list with
// each other.
//
// Ranks and indices are 32-bit here: cuda_declines() refuses longer axes.
#pragma once

#include <cstdint>
#include <limits>

#include "trianglemix/geometry.h"

namespace tmx::cuda {

constexpr int32_t k_slice = 16;       // keys; the depth of one MMA of weights x values
constexpr int32_t k_item_rows = 128;  // packed rows (positions x heads) of an item, at most

struct item_place {
    int32_t batch;     // of q, out and lse
    int32_t kv_batch;  // of k and v
    int32_t head_kv;
    int32_t head_begin;  // query heads [head_begin, head_begin + n_heads)
    int32_t n_heads;
    int32_t row_begin;  // rows [row_begin, row_begin + n_rows) of n_q
    int32_t n_rows;
    int32_t rank_begin;  // rank of row_begin
    int32_t key_base;    // index on the key axis of rank 0
    int32_t partial;     // -1: the result is final; else the slot of partial results to write
    int32_t part;        // of a walk that n_parts items share, this one's; 0 of 1: all of it
    int32_t n_parts;

    TMX_HOST_DEVICE constexpr int32_t packed_rows() const { return n_rows * n_heads; }
    TMX_HOST_DEVICE constexpr index_range ranks() const { return {rank_begin, rank_begin + n_rows}; }
};
static_assert(sizeof(item_place) == 48, "a multiple of 16 bytes");

// `tile_begin`..`tile_end` number the item's tiles over the whole walk, so that all parts of a split item agree on what
// a tile holds.
struct item_walk {
    int32_t n_sink;  // the band, cut to 32 bits
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

    TMX_HOST_DEVICE constexpr band kept() const {
        return n_window == std::numeric_limits<int32_t>::max() ? band{} : band{n_sink, n_window};
    }
    TMX_HOST_DEVICE constexpr int32_t sink_slices() const { return (sink_keys + k_slice - 1) / k_slice; }
};
static_assert(sizeof(item_walk) == 48, "a multiple of 16 bytes");

struct work_item {
    item_place place;
    item_walk walk;
};

// Of a slice of a listed walk: where the list has its block's first rank, and how far behind that it begins.
TMX_HOST_DEVICE constexpr int32_t place_in_list(const item_walk & walk, int32_t slice) {
    return walk.list_begin + (slice >> walk.list_shift);
}
TMX_HOST_DEVICE constexpr int32_t place_in_block(const item_walk & walk, int32_t slice) {
    return (slice & ((1 << walk.list_shift) - 1)) * k_slice;
}

// Rank of the first key of a slice; far beyond any row if the walk has no such slice.
TMX_HOST_DEVICE constexpr int32_t slice_rank(const item_walk & walk, const int32_t * first_rank, int32_t slice) {
    if (slice >= walk.n_slices) {
        return std::numeric_limits<int32_t>::max() / 2;
    }
    if (walk.list_begin >= 0) {
        return first_rank[place_in_list(walk, slice)] + place_in_block(walk, slice);
    }
    const int32_t behind = slice - walk.sink_slices();
    return behind < 0 ? slice * k_slice : walk.window_begin + behind * k_slice;
}

// Keys of a slice from this rank on are none that the walk visits: they may hold anything.
TMX_HOST_DEVICE constexpr int32_t slice_limit(const item_walk & walk, int32_t slice) {
    return walk.list_begin < 0 && slice < walk.sink_slices() ? walk.sink_keys : walk.key_end;
}

// Query row and head of a packed row: heads of one position lie side by side.
struct packed_row {
    int32_t position;  // of the item's n_rows
    int32_t head;      // of its n_heads
};
TMX_HOST_DEVICE constexpr packed_row unpack(const item_place & place, int32_t row) {
    return {row / place.n_heads, row % place.n_heads};
}

// Parts [first_partial, first_partial + n_parts) of one split item, to be combined. `item` is any of its parts.
struct combine_item {
    int32_t item;
    int32_t first_partial;
    int32_t n_parts;
    int32_t unused;
};

TMX_HOST_DEVICE constexpr int32_t divide_up(int32_t a, int32_t b) {
    return (a + b - 1) / b;
}

// Gives an item its part of a walk of `n_tiles` tiles.
TMX_HOST_DEVICE constexpr void take_part(const item_place & place, int32_t n_tiles, item_walk & walk) {
    walk.tile_begin = static_cast<int32_t>(int64_t{n_tiles} * place.part / place.n_parts);
    walk.tile_end = static_cast<int32_t>(int64_t{n_tiles} * (place.part + 1) / place.n_parts);
}

// The order in which tiles are visited where some may be skipped: of `walk`'s tiles [begin, end), the one that comes in
// place of tile `turn`. The diagonal is the first, the first keys are the second, then it goes backwards: the sooner a
// row's maximum is large, the more is skipped.
TMX_HOST_DEVICE constexpr int32_t tile_in_turn(int32_t begin, int32_t end, int32_t turn) {
    return turn == begin ? end - 1 : turn == begin + 1 ? begin : end - (turn - begin);
}

// What an item's rows see of a list of blocks.
struct seen_blocks {
    int32_t list_begin;  // of the list, in the list of first ranks
    int32_t list_shift;  // log2 of the slices of a block
    int32_t n_blocks;    // that begin at or before the item's last row
    int32_t last_keys;   // keys of the last of these, up to that row
    int32_t n_full;      // that end at or before the item's first row
};

// The walk of listed blocks, the item's part of it.
TMX_HOST_DEVICE constexpr item_walk list_walk(const item_place & place, const seen_blocks & seen, int32_t tile_keys) {
    item_walk walk{};
    walk.n_window = std::numeric_limits<int32_t>::max();
    walk.key_end = place.rank_begin + place.n_rows;
    walk.list_begin = seen.list_begin;
    walk.list_shift = seen.list_shift;
    walk.n_slices =
        seen.n_blocks == 0 ? 0 : ((seen.n_blocks - 1) << seen.list_shift) + divide_up(seen.last_keys, k_slice);
    const int32_t tile_slices = tile_keys / k_slice;
    take_part(place, divide_up(walk.n_slices, tile_slices), walk);
    walk.full_end = (seen.n_full << seen.list_shift) / tile_slices;
    return walk;
}

}  // namespace tmx::cuda
