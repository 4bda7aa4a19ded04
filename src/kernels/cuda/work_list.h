// Cuts segments into work items: their places, and the walks that the host can make. A pure function of its arguments:
// no device is asked, so it is tested without one, and results do not depend on how busy the device is.
#pragma once

#include <span>
#include <vector>

#include "kernels/cuda/walks.h"
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

// Which segments' walks a device kernel makes, from the bits of their blocks.
struct selected_segments {
    std::span<const uint8_t> selected;  // empty: none; else one per segment
    bool per_query_head = false;
    int64_t block_keys = k_bitmap_keys;
    double expected_share = 1;  // of the blocks, that is selected

    bool at(size_t segment) const { return !selected.empty() && selected[segment] != 0; }
};

// Whose pairs a counter counts: those that each of these heads keeps of a segment.
struct counted_heads {
    int32_t segment = 0;
    int32_t head_begin = 0;
    int32_t n_heads = 0;
};

struct work_list {
    // In the order in which they should start; the walks of jobs as if every block were selected.
    std::vector<work_item> items;
    std::vector<combine_item> combines;
    std::vector<int32_t> first_ranks;  // of given blocks
    std::vector<walk_job> jobs;
    std::vector<int32_t> job_items;
    std::vector<counted_heads> counted;  // by the jobs' counters
    int64_t n_selected_ranks = 0;        // room for the first ranks of selected blocks, behind those given
    int64_t n_bit_words = 0;             // of all selected segments, one behind the other
    int32_t n_partials = 0;
    int64_t n_key_tiles = 0;  // at most

    // Whether the numbers that walk_job keeps are large enough.
    bool fits() const {
        constexpr int64_t k_most = std::numeric_limits<int32_t>::max();
        return static_cast<int64_t>(first_ranks.size()) + n_selected_ranks <= k_most && n_bit_words <= k_most;
    }
};

// The call with the sizes, strides and types of the keys and values that kernels and selectors read: its own, or those
// of the copies, [n_staged_keys][head][dim] in one batch. The pointers stay.
attention_args args_as_read(const attention_args & args, int32_t n_staged_keys);
attention_args without_pointers(attention_args args);

// REQUIRES valid arguments (validate.h), ranked segments, one place per segment, lists empty or one per segment.
work_list make_work_list(const attention_args & args, std::span<const attention_segment> segments,
                         std::span<const block_lists> lists, const selected_segments & selection,
                         std::span<const key_place> places, const list_config & config);

}  // namespace tmx::cuda
