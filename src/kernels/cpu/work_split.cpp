#include "kernels/cpu/work_split.h"

#include <algorithm>

namespace tmx::cpu {
namespace {

class work_splitter {
  public:
    work_splitter(const attention_args & args, std::span<const attention_segment> segments)
        : args_(args), segments_(segments) {}

    // All rows of a segment: every key head, in stretches of query heads that keep the same, no longer than a block of
    // rows (beyond 256 heads a key head).
    void add_segment(size_t index, const block_lists * lists) {
        const attention_segment & segment = segments_[index];
        const bool by_list = lists != nullptr && lists->begin != nullptr;
        const bool apart = by_list && lists->per_query_head;
        const bool uniform = by_list || segment.masked || segment.kept.dense() || args_.dense_head == nullptr;
        const int64_t group = args_.n_head / args_.n_head_kv;
        for (int64_t key_head = 0; key_head < args_.n_head_kv; ++key_head) {
            const int64_t end = (key_head + 1) * group;
            for (int64_t head = key_head * group; head < end;) {
                const bool exempt = !uniform && args_.dense_head[head] != 0;
                int64_t stop = head + 1;
                while (stop < end && stop - head < k_block_rows && !apart &&
                       (uniform || (args_.dense_head[stop] != 0) == exempt)) {
                    ++stop;
                }
                item_place place;
                place.segment = static_cast<int32_t>(index);
                place.key_head = static_cast<int32_t>(key_head);
                place.head_begin = static_cast<int32_t>(head);
                place.head_end = static_cast<int32_t>(stop);
                if (by_list) {
                    add_listed_rows(place, *lists, apart ? head : key_head);
                } else {
                    add_rows(place, exempt ? band{} : segment.kept);
                }
                head = stop;
            }
        }
    }

    work_split finish() {
        for (size_t i = 0; i < result_.items.size(); ++i) {
            const size_t end = i + 1 < first_range_.size() ? first_range_[i + 1] : result_.ranges.size();
            result_.items[i].walk.ranges = {result_.ranges.data() + first_range_[i], end - first_range_[i]};
        }
        std::stable_sort(result_.items.begin(), result_.items.end(),
                         [](const work_item & a, const work_item & b) { return a.cost > b.cost; });
        return std::move(result_);
    }

  private:
    static int64_t step_of(const item_place & place) {
        return larger(1, k_block_rows / (place.head_end - place.head_begin));
    }

    // An item of these rows; its ranges and cost are still to come.
    work_item & add_item(item_place place, int64_t row_begin, int64_t row_end, const band & kept) {
        place.row_begin = row_begin;
        place.row_end = row_end;
        first_range_.push_back(result_.ranges.size());
        return result_.items.emplace_back(work_item{place, {{}, kept}, 0});
    }

    void add_range(index_range keys) {
        if (!keys.empty()) {
            result_.ranges.push_back(keys);
        }
    }

    // What a band keeps, or a mask.
    void add_rows(const item_place & place, const band & kept) {
        const attention_segment & segment = segments_[static_cast<size_t>(place.segment)];
        const int64_t n_heads = place.head_end - place.head_begin;
        const int64_t step = step_of(place);
        for (int64_t row = segment.row_begin; row < segment.row_end; row += step) {
            const int64_t row_end = smaller(row + step, segment.row_end);
            const int64_t rank = segment.rank_begin + row - segment.row_begin;
            const index_range ranks{rank, rank + row_end - row};
            work_item & item = add_item(place, row, row_end, kept);
            if (segment.masked) {
                item.cost = ranks.size() * args_.n_kv * n_heads;
                add_range({0, args_.n_kv});
            } else {
                item.cost = kept_pairs(kept, ranks) * n_heads;
                const key_ranges keys = visited_keys(kept, ranks);
                add_range(keys.sink);
                add_range(keys.window);
            }
        }
    }

    // What lists of blocks hold; no item has rows of two lists.
    void add_listed_rows(const item_place & place, const block_lists & lists, int64_t list_head) {
        const attention_segment & segment = segments_[static_cast<size_t>(place.segment)];
        const int64_t n_heads = place.head_end - place.head_begin;
        const int64_t step = step_of(place);
        const int64_t n_rows = segment.row_end - segment.row_begin;
        const int64_t n_lists = lists_of(lists, n_rows);
        for (int64_t row = 0; row < n_rows;) {
            const int64_t list = row / lists.list_rows;
            const int64_t in_list = row - list * lists.list_rows;
            const int64_t stop = row + smaller(smaller(step, lists.list_rows - in_list), n_rows - row);
            const index_range ranks{segment.rank_begin + row, segment.rank_begin + stop};
            work_item & item = add_item(place, segment.row_begin + row, segment.row_begin + stop, {});
            const int64_t at = list_head * n_lists + list;
            for (int64_t block = lists.begin[at]; block < lists.begin[at + 1]; ++block) {
                const int64_t first = lists.first_rank[block];
                if (first >= ranks.end) {
                    break;
                }
                const index_range keys{first, first + smaller(lists.block_keys, ranks.end - first)};
                item.cost += causal_pairs(ranks, keys) * n_heads;
                extend_range(keys);
            }
            row = stop;
        }
    }

    // Blocks that touch are one range, so that lists of every key make a dense item's tiles.
    void extend_range(index_range keys) {
        if (result_.ranges.size() > first_range_.back() && result_.ranges.back().end == keys.begin) {
            result_.ranges.back().end = keys.end;
        } else {
            result_.ranges.push_back(keys);
        }
    }

    const attention_args & args_;
    std::span<const attention_segment> segments_;
    work_split result_;
    std::vector<size_t> first_range_;  // of each item
};

}  // namespace

work_split split_work(const attention_args & args, std::span<const attention_segment> segments,
                      std::span<const block_lists> lists) {
    work_splitter splitter(args, segments);
    for (size_t i = 0; i < segments.size(); ++i) {
        splitter.add_segment(i, lists.empty() ? nullptr : &lists[i]);
    }
    return splitter.finish();
}

}  // namespace tmx::cpu
