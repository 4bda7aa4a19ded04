#include "kernels/cpu/work_split.h"

#include <algorithm>

namespace tmx::cpu {

std::vector<work_item> split_work(const attention_args & args, std::span<const attention_segment> segments) {
    const int64_t group = args.n_head / args.n_head_kv;
    std::vector<work_item> items;

    const auto add_rows = [&](int32_t index, int64_t key_head, int64_t head_begin, int64_t head_end,
                              const band & kept) {
        const attention_segment & segment = segments[static_cast<size_t>(index)];
        const int64_t step = larger(1, k_block_rows / (head_end - head_begin));
        for (int64_t row = segment.row_begin; row < segment.row_end; row += step) {
            const int64_t row_end = smaller(row + step, segment.row_end);
            const int64_t rank = segment.rank_begin + row - segment.row_begin;
            const int64_t pairs =
                segment.masked ? (row_end - row) * args.n_kv : kept_pairs(kept, {rank, rank + row_end - row});
            items.push_back({index, static_cast<int32_t>(key_head), static_cast<int32_t>(head_begin),
                             static_cast<int32_t>(head_end), row, row_end, kept, pairs * (head_end - head_begin)});
        }
    };

    for (size_t i = 0; i < segments.size(); ++i) {
        const attention_segment & segment = segments[i];
        const bool uniform = segment.masked || segment.kept.dense() || args.dense_head == nullptr;
        for (int64_t key_head = 0; key_head < args.n_head_kv; ++key_head) {
            const int64_t end = (key_head + 1) * group;
            // Stretches of heads with one band, no longer than a block of rows (beyond 256 heads a key head).
            for (int64_t head = key_head * group; head < end;) {
                const bool exempt = !uniform && args.dense_head[head] != 0;
                int64_t stop = head + 1;
                while (stop < end && stop - head < k_block_rows &&
                       (uniform || (args.dense_head[stop] != 0) == exempt)) {
                    ++stop;
                }
                add_rows(static_cast<int32_t>(i), key_head, head, stop, exempt ? band{} : segment.kept);
                head = stop;
            }
        }
    }
    std::stable_sort(items.begin(), items.end(),
                     [](const work_item & a, const work_item & b) { return a.cost > b.cost; });
    return items;
}

}  // namespace tmx::cpu
