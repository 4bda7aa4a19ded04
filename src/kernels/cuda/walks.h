// From the bits of selected blocks to the walks of items, on the device: what the host does for lists that it is given
// (work_list.cpp). How long a list can get is known from the places alone, so the host never waits for one.
#pragma once

#include <cstdint>

#include "kernels/cuda/work_item.h"
#include "trianglemix/block_bitmap.h"

namespace tmx::cuda {

// One list to make: the bits of one tile of rows, joined over some heads, to first ranks, and from there the walks of
// the items of these rows and heads.
struct walk_job {
    int32_t bits_begin;   // word of the first head's bits
    int32_t head_stride;  // words from one head's bits to the next one's
    int32_t n_heads;
    int32_t rank_begin;  // of the tile's rows, [rank_begin, rank_end)
    int32_t rank_end;
    int32_t n_sink;  // of a band to add, cut to 32 bits
    int32_t n_window;
    int32_t list_begin;  // of the list, in the list of first ranks; it has room for all blocks that the rows can see
    int32_t item_begin;  // of its items' numbers, [item_begin, item_end)
    int32_t item_end;
    int32_t block_keys;  // of the bits' blocks
    int32_t counter;     // of the pairs that one of its heads keeps, among those of the call
    int32_t unused[4];

    TMX_HOST_DEVICE constexpr index_range rows() const { return {rank_begin, rank_end}; }
    TMX_HOST_DEVICE constexpr band kept() const {
        return n_window == std::numeric_limits<int32_t>::max() ? band{} : band{n_sink, n_window};
    }
    TMX_HOST_DEVICE constexpr tile_blocks blocks() const { return {rows(), block_keys, kept()}; }
};
static_assert(sizeof(walk_job) == 64, "a multiple of 16 bytes");

// log2 of the slices of a selected block.
TMX_HOST_DEVICE constexpr int32_t selected_shift(int32_t block_keys) {
    return block_keys == k_fine_keys ? 0 : 3;
}
static_assert(k_slice << selected_shift(k_bitmap_keys) == k_bitmap_keys);
static_assert(k_slice << selected_shift(k_fine_keys) == k_fine_keys);

// Word `word` of a list's blocks. `blocks`: the job's.
TMX_HOST_DEVICE constexpr uint32_t job_bits(const walk_job & job, const tile_blocks & blocks, const uint32_t * bits,
                                            int32_t word) {
    uint32_t joined = blocks.forced(word);
    for (int32_t head = 0; head < job.n_heads; ++head) {
        joined |= bits[job.bits_begin + head * job.head_stride + word];
    }
    return joined & blocks.visible(word);
}

// What an item of a job sees of the job's `n_blocks` blocks. All blocks from that of the tile's first row on are among
// them (mandatory_bits), so that their number says where the item's own end.
TMX_HOST_DEVICE constexpr seen_blocks seen_by(const item_place & place, const walk_job & job, int32_t n_blocks) {
    const int32_t keys = job.block_keys;
    const int32_t last_rank = place.rank_begin + place.n_rows - 1;
    const int32_t end_block = (job.rank_end - 1) / keys + 1;
    const int32_t behind = end_block - (last_rank / keys + 1);
    const int32_t not_full = end_block - (place.rank_begin + 1) / keys;
    return {job.list_begin, selected_shift(keys), n_blocks - behind, last_rank % keys + 1, n_blocks - not_full};
}

// What the device kernel of all jobs is given; everything is device memory.
struct walk_jobs {
    const walk_job * jobs = nullptr;      // [n_jobs]
    const int32_t * job_items = nullptr;  // what item_begin and item_end count in
    const uint32_t * bits = nullptr;      // what bits_begin counts in
    int32_t * first_ranks = nullptr;      // what list_begin counts in; written
    work_item * items = nullptr;          // all of them; the walks of those of the jobs are written
    int32_t n_jobs = 0;
    int32_t tile_keys = 0;
    unsigned long long * kept = nullptr;  // what `counter` counts in, added to; null: nothing is counted
};

}  // namespace tmx::cuda
