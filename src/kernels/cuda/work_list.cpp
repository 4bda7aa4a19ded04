#include "kernels/cuda/work_list.h"

#include <algorithm>
#include <bit>

namespace tmx::cuda {
namespace {

constexpr int32_t k_int32_max = std::numeric_limits<int32_t>::max();

// No axis is longer (cuda_declines()): longer blocks hold no more keys, and their slices do not fit into 32 bits.
constexpr int64_t k_longest_block = int64_t{1} << 30;

int32_t narrow(int64_t value) {
    return static_cast<int32_t>(smaller(value, k_int32_max));
}

int32_t divide_up(int32_t a, int32_t b) {
    return (a + b - 1) / b;
}

index_range rows_of(const work_item & item) {
    return {item.rank_begin, item.rank_begin + item.n_rows};
}

// The walk of a band: which keys, and which of its tiles need no mask.
void walk_band(work_item & item, int32_t tile_keys) {
    const band kept = item.kept();
    const index_range rows = rows_of(item);
    const key_ranges keys = visited_keys(kept, rows);
    item.sink_keys = static_cast<int32_t>(keys.sink.size());
    item.window_begin = static_cast<int32_t>(keys.window.begin);
    item.key_end = static_cast<int32_t>(keys.window.end);
    item.list_begin = -1;
    item.list_shift = 0;
    item.n_slices = item.sink_slices() + divide_up(item.key_end - item.window_begin, k_slice);
    const int32_t tile_slices = tile_keys / k_slice;
    item.tile_begin = 0;
    item.tile_end = divide_up(item.n_slices, tile_slices);

    const auto needs_mask = [&](int32_t tile) {
        const int32_t first = tile * tile_slices;
        if (first < item.sink_slices()) {
            return true;
        }
        const int64_t begin = slice_rank(item, nullptr, first);
        return begin + tile_keys > item.key_end || cover(kept, rows, {begin, begin + tile_keys}) != tile_cover::full;
    };
    // Partial tiles lie at the ends of the walk only: both loops are short.
    item.full_begin = 0;
    while (item.full_begin < item.tile_end && needs_mask(item.full_begin)) {
        ++item.full_begin;
    }
    item.full_end = item.tile_end;
    while (item.full_end > item.full_begin && needs_mask(item.full_end - 1)) {
        --item.full_end;
    }
}

// The walk of the blocks `first_ranks` of `block_keys` keys, which lie at `list_begin` of the device's list: without
// those that begin behind the item's last row, and without the last one's keys behind it.
void walk_list(work_item & item, std::span<const int32_t> first_ranks, int64_t block_keys, int32_t list_begin,
               int32_t tile_keys) {
    const index_range rows = rows_of(item);
    item.sink_keys = 0;
    item.window_begin = 0;
    item.key_end = static_cast<int32_t>(rows.end);
    item.list_begin = list_begin;
    item.list_shift = std::countr_zero(static_cast<uint64_t>(block_keys / k_slice));
    int32_t n_blocks = 0;
    int32_t n_full = 0;
    item.n_slices = 0;
    for (const int32_t first : first_ranks) {
        if (first >= rows.end) {
            break;
        }
        const auto n_keys = static_cast<int32_t>(smaller(block_keys, rows.end - first));
        item.n_slices = (n_blocks << item.list_shift) + divide_up(n_keys, k_slice);
        ++n_blocks;
        n_full += first + block_keys - 1 <= rows.begin ? 1 : 0;
    }
    const int32_t tile_slices = tile_keys / k_slice;
    item.tile_begin = 0;
    item.tile_end = divide_up(item.n_slices, tile_slices);
    item.full_begin = 0;
    item.full_end = (n_full << item.list_shift) / tile_slices;
}

std::span<const int32_t> blocks_of(const cuda_block_lists & lists, int64_t list) {
    return {lists.first_rank + lists.begin[list], static_cast<size_t>(lists.begin[list + 1] - lists.begin[list])};
}

class list_maker {
  public:
    list_maker(const attention_args & args, const list_config & config) : args_(args), config_(config) {}

    // Rows of one segment, heads [head_begin, head_end) of one key head.
    void add_rows(const attention_segment & segment, const key_place & place, const band & kept,
                  const cuda_block_lists * lists, int64_t list_head, int64_t head_kv, int64_t head_begin,
                  int64_t head_end) {
        const int64_t n_heads = head_end - head_begin;
        const int64_t step = k_item_rows / n_heads;
        const int64_t n_rows = segment.row_end - segment.row_begin;
        const int64_t n_lists = lists != nullptr ? lists_of(*lists, n_rows) : 0;
        int32_t list_begin = 0;
        for (int64_t row = 0; row < n_rows;) {
            int64_t stop = smaller(row + step, n_rows);
            std::span<const int32_t> blocks;
            if (lists != nullptr) {
                const int64_t list = row / lists->list_rows;
                stop = smaller(stop, (list + 1) * lists->list_rows);
                blocks = blocks_of(*lists, list_head * n_lists + list);
                if (row % lists->list_rows == 0) {  // all items of a list's rows read one copy of it
                    list_begin = static_cast<int32_t>(result_.first_ranks.size());
                    result_.first_ranks.insert(result_.first_ranks.end(), blocks.begin(), blocks.end());
                }
            }
            work_item item{};
            item.batch = segment.batch;
            item.kv_batch = place.batch;
            item.head_kv = static_cast<int32_t>(head_kv);
            item.head_begin = static_cast<int32_t>(head_begin);
            item.n_heads = static_cast<int32_t>(n_heads);
            item.row_begin = static_cast<int32_t>(segment.row_begin + row);
            item.n_rows = static_cast<int32_t>(stop - row);
            item.rank_begin = static_cast<int32_t>(segment.rank_begin + row);
            item.key_base = place.base;
            item.n_sink = narrow(lists != nullptr ? 0 : kept.n_sink);
            item.n_window = narrow(lists != nullptr ? k_int32_max : kept.n_window);
            item.partial = -1;
            if (lists != nullptr) {
                walk_list(item, blocks, smaller(lists->block_keys, k_longest_block), list_begin, config_.tile_keys);
            } else {
                walk_band(item, config_.tile_keys);
            }
            result_.n_key_tiles += item.tile_end;
            result_.items.push_back(item);
            row = stop;
        }
    }

    // All rows of a segment: every key head, in stretches of query heads that keep the same.
    void add_segment(const attention_segment & segment, const key_place & place, const cuda_block_lists * lists) {
        const int64_t group = args_.n_head / args_.n_head_kv;
        const bool by_list = lists != nullptr && lists->begin != nullptr;
        const bool uniform = by_list || segment.kept.dense() || args_.dense_head == nullptr;
        for (int64_t head_kv = 0; head_kv < args_.n_head_kv; ++head_kv) {
            const int64_t end = (head_kv + 1) * group;
            for (int64_t head = head_kv * group; head < end;) {
                const bool exempt = !uniform && args_.dense_head[head] != 0;
                int64_t stop = head + 1;
                while (stop < end && stop - head < k_item_rows && !(by_list && lists->per_query_head) &&
                       (uniform || (args_.dense_head[stop] != 0) == exempt)) {
                    ++stop;
                }
                add_rows(segment, place, exempt ? band{} : segment.kept, by_list ? lists : nullptr,
                         by_list && lists->per_query_head ? head : head_kv, head_kv, head, stop);
                head = stop;
            }
        }
    }

    work_list finish() {
        split_long_items();
        order();
        return std::move(result_);
    }

  private:
    // Items much longer than a thread block's fair share are cut over their keys. A share is divided by 4, so that the
    // last parts to finish leave few blocks idle; parts below 8 tiles would spend their time on combining.
    void split_long_items() {
        const int64_t share = result_.n_key_tiles / (int64_t{4} * config_.n_slots);
        const int32_t longest = static_cast<int32_t>(larger(8, share));
        std::vector<work_item> cut;
        cut.reserve(result_.items.size());
        for (const work_item & item : result_.items) {
            const int32_t n_parts = item.tile_end > longest + longest / 2 ? divide_up(item.tile_end, longest) : 1;
            if (n_parts == 1) {
                cut.push_back(item);
                continue;
            }
            result_.combines.push_back({static_cast<int32_t>(cut.size()), result_.n_partials, n_parts, 0});
            for (int32_t part = 0; part < n_parts; ++part) {
                work_item piece = item;
                piece.tile_begin = static_cast<int32_t>(int64_t{item.tile_end} * part / n_parts);
                piece.tile_end = static_cast<int32_t>(int64_t{item.tile_end} * (part + 1) / n_parts);
                piece.partial = result_.n_partials++;
                cut.push_back(piece);
            }
        }
        result_.items = std::move(cut);
    }

    // Long items first, in steps of a factor 2: the device's end is short. Among items of about the same length those
    // of one key head lie together and later rows come first, so that what runs at a time reads the same keys.
    void order() {
        std::vector<std::pair<uint64_t, int32_t>> keys(result_.items.size());
        for (size_t i = 0; i < keys.size(); ++i) {
            const work_item & item = result_.items[i];
            const auto length = static_cast<uint32_t>(item.tile_end - item.tile_begin);
            const uint64_t size_class = 32 - static_cast<uint64_t>(std::bit_width(length));
            const uint64_t head = static_cast<uint64_t>(item.head_kv) & 0xfffff;
            keys[i] = {size_class << 56 | head << 36, static_cast<int32_t>(keys.size() - i)};
        }
        std::sort(keys.begin(), keys.end());
        std::vector<work_item> ordered(keys.size());
        std::vector<int32_t> place(keys.size());
        for (size_t i = 0; i < keys.size(); ++i) {
            const size_t from = keys.size() - static_cast<size_t>(keys[i].second);
            ordered[i] = result_.items[from];
            place[from] = static_cast<int32_t>(i);
        }
        for (combine_item & combine : result_.combines) {
            combine.item = place[static_cast<size_t>(combine.item)];
        }
        result_.items = std::move(ordered);
    }

    const attention_args & args_;
    list_config config_;
    work_list result_;
};

}  // namespace

work_list make_work_list(const attention_args & args, std::span<const attention_segment> segments,
                         std::span<const cuda_block_lists> lists, std::span<const key_place> places,
                         const list_config & config) {
    list_maker maker(args, config);
    for (size_t i = 0; i < segments.size(); ++i) {
        maker.add_segment(segments[i], places[i], lists.empty() ? nullptr : &lists[i]);
    }
    return maker.finish();
}

}  // namespace tmx::cuda
