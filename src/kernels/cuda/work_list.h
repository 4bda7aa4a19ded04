// Cuts segments into work items. A pure function of its arguments: no device is asked, so it is tested without one, and
// results do not depend on how busy the device is.
#pragma once

#include <span>
#include <vector>

#include "kernels/cuda/work_item.h"
#include "trianglemix/cuda_attention.h"

namespace tmx::cuda {

// What the list is made for.
struct list_config {
    int32_t tile_keys = 128;  // multiple of k_slice
    int32_t n_slots = 132;    // thread blocks that run at a time
};

// Where the keys of a segment lie: index on the key axis = base + rank, in batch `batch`.
struct key_place {
    int32_t base = 0;
    int32_t batch = 0;
};

struct work_list {
    std::vector<work_item> items;  // in the order in which they should start
    std::vector<combine_item> combines;
    std::vector<int32_t> first_ranks;  // of listed blocks
    int32_t n_partials = 0;
    int64_t n_key_tiles = 0;
};

// How many lists the rows of a segment have, of one head.
inline int64_t lists_of(const cuda_block_lists & lists, int64_t n_rows) {
    return n_rows / lists.list_rows + (n_rows % lists.list_rows != 0 ? 1 : 0);
}

// REQUIRES valid arguments (validate.h), ranked segments, one place per segment, lists empty or one per segment.
work_list make_work_list(const attention_args & args, std::span<const attention_segment> segments,
                         std::span<const cuda_block_lists> lists, std::span<const key_place> places,
                         const list_config & config);

}  // namespace tmx::cuda
