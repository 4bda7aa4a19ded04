#include "probe/cuda/row_plan.h"

#include <algorithm>

namespace tmx::cuda_probe {
namespace {

void add_tiles(index_range keys, std::vector<tile_range> & ranges) {
    if (!keys.empty()) {
        ranges.push_back({static_cast<int32_t>(keys.begin / k_tile), static_cast<int32_t>(tiles_of(keys.end))});
    }
}

// Sorts ranges[first ..] and joins those that overlap or touch.
void join(std::vector<tile_range> & ranges, size_t first) {
    const auto begin = ranges.begin() + static_cast<std::ptrdiff_t>(first);
    std::sort(begin, ranges.end(), [](const tile_range & a, const tile_range & b) { return a.begin < b.begin; });
    auto last = begin;
    for (auto range = begin; range != ranges.end(); ++range) {
        if (range->begin <= last->end) {
            last->end = std::max(last->end, range->end);
        } else {
            *++last = *range;
        }
    }
    if (last != ranges.end()) {
        ranges.erase(last + 1, ranges.end());
    }
}

}  // namespace

row_plan plan_rows(std::span<const row_segment> segments, int64_t n) {
    row_plan plan;
    plan.kept.reserve(static_cast<size_t>(n));
    for (const row_segment & segment : segments) {
        for (int64_t i = segment.rows.begin; i < segment.rows.end; ++i) {
            plan.kept.push_back(row_of(segment.kept, i));
        }
    }
    size_t first_segment = 0;  // the first that reaches into the tile
    for (int64_t tile = 0; tile < tiles_of(n); ++tile) {
        const size_t first = plan.ranges.size();
        plan.first_range.push_back(static_cast<int32_t>(first));
        const index_range rows = {tile * k_tile, std::min((tile + 1) * k_tile, n)};
        while (segments[first_segment].rows.end <= rows.begin) {
            ++first_segment;
        }
        for (size_t s = first_segment; s < segments.size() && segments[s].rows.begin < rows.end; ++s) {
            const index_range part = {std::max(rows.begin, segments[s].rows.begin),
                                      std::min(rows.end, segments[s].rows.end)};
            if (!part.empty()) {
                const key_ranges keys = visited_keys(segments[s].kept, part);
                add_tiles(keys.sink, plan.ranges);
                add_tiles(keys.window, plan.ranges);
            }
        }
        join(plan.ranges, first);
    }
    plan.first_range.push_back(static_cast<int32_t>(plan.ranges.size()));
    return plan;
}

}  // namespace tmx::cuda_probe
