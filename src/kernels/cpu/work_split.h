// Cuts the segments of a call into work items. A pure function: the same items for every thread count, so results do
// not depend on it.
#pragma once

#include <span>
#include <vector>

#include "kernels/cpu/kernel_args.h"

namespace tmx::cpu {

// Longest first. An item holds query heads of one key head only, all with the same band.
std::vector<work_item> split_work(const attention_args & args, std::span<const attention_segment> segments);

}  // namespace tmx::cpu
