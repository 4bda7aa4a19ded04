// Cuts the segments of a call into work items. A pure function: the same items for every thread count, so results do
// not depend on it.
#pragma once

#include <span>
#include <vector>

#include "kernels/cpu/kernel_args.h"
#include "trianglemix/block_lists.h"

namespace tmx::cpu {

struct work_split {
    std::vector<work_item> items;     // longest first
    std::vector<index_range> ranges;  // of all walks
};

// An item holds query heads of one key head only, all with the same walk.
// REQUIRES valid arguments (validate.h); lists empty or one per segment.
work_split split_work(const attention_args & args, std::span<const attention_segment> segments,
                      std::span<const block_lists> lists);

}  // namespace tmx::cpu
