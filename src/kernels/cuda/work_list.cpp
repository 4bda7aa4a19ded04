#include "kernels/cuda/work_list.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tmx::cuda {
namespace {

constexpr int32_t k_int32_max = std::numeric_limits<int32_t>::max();
constexpr int32_t k_no_job = -1;

// No axis is longer (cuda_declines()): longer blocks hold no more keys, and their slices do not fit into 32 bits.
constexpr int64_t k_longest_block = int64_t{1} << 30;

int32_t narrow(int64_t value) {
    return static_cast<int32_t>(smaller(value, k_int32_max));
}

// The walk of a band: which keys, and which of its tiles need no mask.
item_walk band_walk(const item_place & place, const band & kept, int32_t tile_keys) {
    item_walk walk{};
    walk.n_sink = narrow(kept.n_sink);
    walk.n_window = narrow(kept.n_window);
    const band cut = walk.kept();
    const key_ranges keys = visited_keys(cut, place.ranks());
    walk.sink_keys = static_cast<int32_t>(keys.sink.size());
    walk.window_begin = static_cast<int32_t>(keys.window.begin);
    walk.key_end = static_cast<int32_t>(keys.window.end);
    walk.list_begin = -1;
    walk.n_slices = walk.sink_slices() + divide_up(walk.key_end - walk.window_begin, k_slice);
    const int32_t tile_slices = tile_keys / k_slice;
    walk.tile_end = divide_up(walk.n_slices, tile_slices);

    const auto needs_mask = [&](int32_t tile) {
        const int32_t first = tile * tile_slices;
        if (first < walk.sink_slices()) {
            return true;
        }
        const int64_t begin = slice_rank(walk, nullptr, first);
        return begin + tile_keys > walk.key_end ||
               cover(cut, place.ranks(), {begin, begin + tile_keys}) != tile_cover::full;
    };
    // Partial tiles lie at the ends of the walk only: both loops are short.
    while (walk.full_begin < walk.tile_end && needs_mask(walk.full_begin)) {
        ++walk.full_begin;
    }
    walk.full_end = walk.tile_end;
    while (walk.full_end > walk.full_begin && needs_mask(walk.full_end - 1)) {
        --walk.full_end;
    }
    return walk;
}

// What an item sees of the blocks `first_ranks` of `block_keys` keys, which lie at `list_begin` of the device's list:
// not those that begin behind its last row, nor the last one's keys behind it.
seen_blocks see(const item_place & place, std::span<const int32_t> first_ranks, int64_t block_keys,
                int32_t list_begin) {
    const index_range rows = place.ranks();
    seen_blocks seen{list_begin, std::countr_zero(static_cast<uint64_t>(block_keys / k_slice)), 0, 0, 0};
    for (const int32_t first : first_ranks) {
        if (first >= rows.end) {
            break;
        }
        ++seen.n_blocks;
        seen.last_keys = static_cast<int32_t>(smaller(block_keys, rows.end - first));
        seen.n_full += first + block_keys - 1 <= rows.begin ? 1 : 0;
    }
    return seen;
}

std::span<const int32_t> first_ranks_of(const block_lists & lists, int64_t list) {
    return {lists.first_rank + lists.begin[list], static_cast<size_t>(lists.begin[list + 1] - lists.begin[list])};
}

class list_maker {
  public:
    // `block_keys`, `share`: of selected blocks.
    list_maker(const attention_args & args, const list_config & config, int64_t block_keys, double share)
        : args_(args), config_(config), block_keys_(block_keys), selected_share_(share) {}

    // All rows of a segment: every key head, in stretches of query heads that keep the same. `lists`: given for it, or
    // null. `apart`: each query head has blocks of its own.
    void add_segment(const attention_segment & segment, const key_place & place, const block_lists * lists,
                     bool selected, bool apart) {
        const int64_t group = args_.n_head / args_.n_head_kv;
        const bool uniform = lists != nullptr || selected || segment.kept.dense() || args_.dense_head == nullptr;
        const bitmap_shape shape{
            args_.n_head, {segment.rank_begin, segment.rank_begin + segment.row_end - segment.row_begin}, block_keys_};
        for (int64_t head_kv = 0; head_kv < args_.n_head_kv; ++head_kv) {
            const int64_t end = (head_kv + 1) * group;
            for (int64_t head = head_kv * group; head < end;) {
                const bool exempt = !uniform && args_.dense_head[head] != 0;
                int64_t stop = head + 1;
                while (stop < end && stop - head < k_item_rows && !apart &&
                       (uniform || (args_.dense_head[stop] != 0) == exempt)) {
                    ++stop;
                }
                item_place first{};
                first.batch = segment.batch;
                first.kv_batch = place.batch;
                first.head_kv = static_cast<int32_t>(head_kv);
                first.head_begin = static_cast<int32_t>(head);
                first.n_heads = static_cast<int32_t>(stop - head);
                first.key_base = place.base;
                first.partial = -1;
                first.n_parts = 1;
                if (selected) {
                    // Beyond k_item_rows heads a group's stretches still share the union of all its heads.
                    const int64_t joined = apart ? head : head_kv * group;
                    add_selected(first, segment, shape, joined, apart ? 1 : group);
                } else if (lists != nullptr) {
                    add_listed(first, segment, *lists, apart ? head : head_kv);
                } else {
                    add_banded(first, segment, exempt ? band{} : segment.kept);
                }
                head = stop;
            }
        }
        result_.n_bit_words += selected ? shape.total_words() : 0;
        ++n_segments_;
    }

    work_list finish() {
        split_long_items();
        order();
        number_job_items();
        return std::move(result_);
    }

  private:
    struct made_item {
        item_place place;
        item_walk walk;
        int32_t job = k_no_job;
    };

    // The next rows of a segment, from `row` on: an item's worth, but none from `end` on.
    static item_place take_rows(item_place place, const attention_segment & segment, int64_t row, int64_t end) {
        const int64_t stop = smaller(row + k_item_rows / place.n_heads, end);
        place.row_begin = static_cast<int32_t>(segment.row_begin + row);
        place.n_rows = static_cast<int32_t>(stop - row);
        place.rank_begin = static_cast<int32_t>(segment.rank_begin + row);
        return place;
    }

    void add_item(const item_place & place, const item_walk & walk, int32_t job = k_no_job) {
        result_.n_key_tiles += walk.tile_end;
        selected_tiles_ += job == k_no_job ? 0 : walk.tile_end;
        items_.push_back({place, walk, job});
    }

    void add_banded(const item_place & first, const attention_segment & segment, const band & kept) {
        const int64_t n_rows = segment.row_end - segment.row_begin;
        for (int64_t row = 0; row < n_rows;) {
            const item_place place = take_rows(first, segment, row, n_rows);
            add_item(place, band_walk(place, kept, config_.tile_keys));
            row += place.n_rows;
        }
    }

    void add_listed(const item_place & first, const attention_segment & segment, const block_lists & lists,
                    int64_t list_head) {
        const int64_t n_rows = segment.row_end - segment.row_begin;
        const int64_t n_lists = lists_of(lists, n_rows);
        const int64_t block_keys = smaller(lists.block_keys, k_longest_block);
        for (int64_t list = 0; list < n_lists; ++list) {
            const int64_t begin = list * lists.list_rows;
            const int64_t end = begin + smaller(lists.list_rows, n_rows - begin);
            const std::span<const int32_t> blocks = first_ranks_of(lists, list_head * n_lists + list);
            const auto list_begin = static_cast<int32_t>(result_.first_ranks.size());
            result_.first_ranks.insert(result_.first_ranks.end(), blocks.begin(), blocks.end());
            for (int64_t row = begin; row < end;) {
                const item_place place = take_rows(first, segment, row, end);
                add_item(place, list_walk(place, see(place, blocks, block_keys, list_begin), config_.tile_keys));
                row += place.n_rows;
            }
        }
    }

    // One job a tile of rows, for `n_heads` heads' bits from `head` on. Split and ordered as if all blocks were kept.
    void add_selected(const item_place & first, const attention_segment & segment, const bitmap_shape & shape,
                      int64_t head, int64_t n_heads) {
        const auto counter = static_cast<int32_t>(result_.counted.size());
        result_.counted.push_back({n_segments_, first.head_begin, first.n_heads});
        for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
            const index_range ranks = shape.rows_of(tile);
            const auto n_blocks = static_cast<int32_t>(blocks_of(ranks, block_keys_).end);
            walk_job job{};
            job.bits_begin = static_cast<int32_t>(result_.n_bit_words + shape.first_word(head, tile));
            job.head_stride = static_cast<int32_t>(shape.n_tiles() * shape.n_words());
            job.n_heads = static_cast<int32_t>(n_heads);
            job.rank_begin = static_cast<int32_t>(ranks.begin);
            job.rank_end = static_cast<int32_t>(ranks.end);
            job.n_sink = narrow(segment.kept.n_sink);
            job.n_window = narrow(segment.kept.n_window);
            job.block_keys = static_cast<int32_t>(block_keys_);
            job.list_begin = static_cast<int32_t>(result_.n_selected_ranks);
            job.counter = counter;
            const auto number = static_cast<int32_t>(result_.jobs.size());
            const int64_t end = ranks.end - shape.ranks.begin;
            for (int64_t row = ranks.begin - shape.ranks.begin; row < end;) {
                const item_place place = take_rows(first, segment, row, end);
                add_item(place, list_walk(place, seen_by(place, job, n_blocks), config_.tile_keys), number);
                row += place.n_rows;
            }
            result_.jobs.push_back(job);
            result_.n_selected_ranks += n_blocks;
        }
    }

    // Items much longer than a thread block's fair share are cut over their keys. A share is divided by 4, so that the
    // last parts to finish leave few blocks idle; parts below 8 tiles would spend their time on combining.
    void split_long_items() {
        const auto selected_tiles = static_cast<int64_t>(selected_share_ * static_cast<double>(selected_tiles_));
        const int64_t n_tiles_expected = result_.n_key_tiles - selected_tiles_ + selected_tiles;
        const int64_t share = n_tiles_expected / (int64_t{4} * config_.n_slots);
        const int32_t longest = static_cast<int32_t>(larger(8, share));
        std::vector<made_item> cut;
        cut.reserve(items_.size());
        for (const made_item & item : items_) {
            const int32_t n_tiles = item.walk.tile_end;
            const int32_t expected =
                item.job == k_no_job ? n_tiles : static_cast<int32_t>(std::ceil(selected_share_ * n_tiles));
            const int32_t n_parts = expected > longest + longest / 2 ? divide_up(expected, longest) : 1;
            if (n_parts == 1) {
                cut.push_back(item);
                continue;
            }
            result_.combines.push_back({static_cast<int32_t>(cut.size()), result_.n_partials, n_parts, 0});
            for (int32_t part = 0; part < n_parts; ++part) {
                made_item piece = item;
                piece.place.part = part;
                piece.place.n_parts = n_parts;
                piece.place.partial = result_.n_partials++;
                take_part(piece.place, n_tiles, piece.walk);
                cut.push_back(piece);
            }
        }
        items_ = std::move(cut);
    }

    // Long items first, in steps of a factor 2: the device's end is short. Among items of about the same length those
    // of one key head lie together and later rows come first, so that what runs at a time reads the same keys. How many
    // of an item's blocks are selected only the device will know. An eighth is assumed: else the dense rows at a
    // chunk's end would start last, and run alone.
    void order() {
        constexpr uint64_t k_selected_shift = 3;
        std::vector<std::pair<uint64_t, int32_t>> keys(items_.size());
        for (size_t i = 0; i < keys.size(); ++i) {
            const made_item & item = items_[i];
            const auto length = static_cast<uint32_t>(item.walk.tile_end - item.walk.tile_begin);
            const uint64_t shorter = item.job != k_no_job ? k_selected_shift : 0;
            const uint64_t size_class = 32 - static_cast<uint64_t>(std::bit_width(length)) + shorter;
            const uint64_t head = static_cast<uint64_t>(item.place.head_kv) & 0xfffff;
            keys[i] = {size_class << 56 | head << 36, static_cast<int32_t>(keys.size() - i)};
        }
        std::sort(keys.begin(), keys.end());
        result_.items.resize(keys.size());
        jobs_.resize(keys.size());
        std::vector<int32_t> number(keys.size());
        for (size_t i = 0; i < keys.size(); ++i) {
            const size_t from = keys.size() - static_cast<size_t>(keys[i].second);
            result_.items[i] = {items_[from].place, items_[from].walk};
            jobs_[i] = items_[from].job;
            number[from] = static_cast<int32_t>(i);
        }
        for (combine_item & combine : result_.combines) {
            combine.item = number[static_cast<size_t>(combine.item)];
        }
    }

    // Which items each job has, now that these are numbered; and its list comes behind the given ones.
    void number_job_items() {
        if (result_.jobs.empty()) {
            return;
        }
        std::vector<int32_t> next(result_.jobs.size(), 0);
        for (const int32_t job : jobs_) {
            if (job != k_no_job) {
                ++next[static_cast<size_t>(job)];
            }
        }
        int32_t begin = 0;
        for (size_t i = 0; i < next.size(); ++i) {
            walk_job & job = result_.jobs[i];
            job.list_begin = static_cast<int32_t>(job.list_begin + static_cast<int64_t>(result_.first_ranks.size()));
            job.item_begin = begin;
            job.item_end = begin + next[i];
            next[i] = begin;
            begin = job.item_end;
        }
        result_.job_items.resize(static_cast<size_t>(begin));
        for (size_t i = 0; i < jobs_.size(); ++i) {
            if (jobs_[i] != k_no_job) {
                int32_t & at = next[static_cast<size_t>(jobs_[i])];
                result_.job_items[static_cast<size_t>(at++)] = static_cast<int32_t>(i);
            }
        }
    }

    const attention_args & args_;
    list_config config_;
    int64_t block_keys_;
    double selected_share_;
    std::vector<made_item> items_;
    int64_t selected_tiles_ = 0;  // of n_key_tiles
    int32_t n_segments_ = 0;      // added
    std::vector<int32_t> jobs_;   // of each item, once they are ordered
    work_list result_;
};

}  // namespace

attention_args args_as_read(const attention_args & args, int32_t n_staged_keys) {
    attention_args read = args;
    if (n_staged_keys == 0) {
        return read;
    }
    read.n_kv = n_staged_keys;
    read.k_type = args.k_type == dtype::bf16 ? dtype::bf16 : dtype::f16;
    read.v_type = args.v_type == dtype::bf16 ? dtype::bf16 : dtype::f16;
    read.k_stride_batch = read.v_stride_batch = 0;
    read.k_stride_head = args.d_qk;
    read.v_stride_head = args.d_v;
    read.k_stride_row = args.d_qk * args.n_head_kv;
    read.v_stride_row = args.d_v * args.n_head_kv;
    return read;
}

attention_args without_pointers(attention_args args) {
    args.q = nullptr;
    args.k = args.v = nullptr;
    args.out = args.lse = nullptr;
    args.mask = nullptr;
    args.sink_logit = args.alibi_slope = nullptr;
    args.skips = nullptr;
    args.dense_head = nullptr;
    return args;
}

work_list make_work_list(const attention_args & args, std::span<const attention_segment> segments,
                         std::span<const block_lists> lists, const selected_segments & selection,
                         std::span<const key_place> places, const list_config & config) {
    list_maker maker(args, config, selection.block_keys, selection.expected_share);
    for (size_t i = 0; i < segments.size(); ++i) {
        const block_lists * given = lists.empty() || lists[i].begin == nullptr ? nullptr : &lists[i];
        const bool selected = selection.at(i);
        const bool apart = selected ? selection.per_query_head : given != nullptr && given->per_query_head;
        maker.add_segment(segments[i], places[i], given, selected, apart);
    }
    return maker.finish();
}

}  // namespace tmx::cuda
