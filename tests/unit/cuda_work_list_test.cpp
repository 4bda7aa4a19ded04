// The tile lists of the CUDA kernels, without a GPU: every kept pair is computed exactly once, whatever the tile size,
// and what a tile that needs no mask holds is kept.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/cuda/work_list.h"

namespace tmx::cuda {
namespace {

struct call {
    attention_args args;
    std::vector<attention_segment> segments;
    std::vector<block_lists> lists;
    std::vector<key_place> places;
    std::vector<uint8_t> selected;
    bool per_query_head = false;
    int64_t block_keys = 128;
    double expected_share = 1;

    work_list make(const list_config & config) const {
        return make_work_list(args, segments, lists, {selected, per_query_head, block_keys, expected_share}, places,
                              config);
    }

    void add(int64_t row_begin, int64_t n_rows, int64_t rank_begin, const band & kept, int32_t batch = 0) {
        attention_segment s;
        s.batch = batch;
        s.row_begin = row_begin;
        s.row_end = row_begin + n_rows;
        s.rank_begin = rank_begin;
        s.key_begin = 1000 * static_cast<int64_t>(segments.size());
        s.kept = kept;
        segments.push_back(s);
        places.push_back({static_cast<int32_t>(s.key_begin), batch});
    }
};

call heads(int64_t n_head, int64_t n_head_kv) {
    call c;
    c.args.n_head = n_head;
    c.args.n_head_kv = n_head_kv;
    return c;
}

// A pair of a row and a key, as one number.
uint64_t pair_of(int32_t batch, int32_t head, int32_t row, int32_t rank) {
    return static_cast<uint64_t>(batch) << 60 | static_cast<uint64_t>(head) << 52 | static_cast<uint64_t>(row) << 28 |
           static_cast<uint64_t>(rank);
}

// How often each pair is computed, by walking the items as the kernels do.
using pair_counts = std::unordered_map<uint64_t, int>;

pair_counts walk(const work_list & list, int32_t tile_keys) {
    pair_counts counts;
    const int32_t tile_slices = tile_keys / k_slice;
    for (size_t i = 0; i < list.items.size(); ++i) {
        const item_place & place = list.items[i].place;
        const item_walk & keys = list.items[i].walk;
        EXPECT_GT(place.n_rows, 0);
        EXPECT_LE(place.packed_rows(), k_item_rows);
        for (int32_t slice = keys.tile_begin * tile_slices; slice < keys.tile_end * tile_slices; ++slice) {
            const int32_t tile = slice / tile_slices;
            const bool masked = tile < keys.full_begin || tile >= keys.full_end;
            for (int32_t k = 0; k < k_slice; ++k) {
                const int32_t rank = slice_rank(keys, list.first_ranks.data(), slice) + k;
                const bool visited = rank < slice_limit(keys, slice);
                EXPECT_TRUE(masked || visited) << "a full tile holds a key that the walk does not visit";
                for (int32_t packed = 0; packed < place.packed_rows(); ++packed) {
                    const packed_row at = unpack(place, packed);
                    const kept_row row = row_of(keys.kept(), place.rank_begin + at.position);
                    const bool kept = visited && keeps(row, rank);
                    EXPECT_EQ(kept, keeps(counted_from(row, rank - 3, slice_limit(keys, slice)), 3));
                    EXPECT_TRUE(masked || kept) << "a full tile holds a dropped pair";
                    if (kept) {
                        ++counts[pair_of(place.batch, place.head_begin + at.head, place.row_begin + at.position, rank)];
                    }
                }
            }
        }
    }
    return counts;
}

// Compares with `is_kept(segment, head, rank of the row, rank of the key)` over all pairs.
template <typename F>
void expect_pairs(const call & c, const list_config & config, const F & is_kept) {
    const work_list list = c.make(config);
    pair_counts counts = walk(list, config.tile_keys);
    size_t n_kept = 0;
    for (size_t i = 0; i < c.segments.size(); ++i) {
        const attention_segment & s = c.segments[i];
        for (int32_t head = 0; head < c.args.n_head; ++head) {
            for (int64_t row = s.row_begin; row < s.row_end; ++row) {
                const int64_t rank = s.rank_begin + row - s.row_begin;
                for (int32_t key = 0; key <= rank; ++key) {
                    if (!is_kept(i, head, rank, key)) {
                        continue;
                    }
                    ++n_kept;
                    const int found = counts[pair_of(s.batch, head, static_cast<int32_t>(row), key)];
                    ASSERT_EQ(1, found) << "segment " << i << " head " << head << " row " << row << " key " << key;
                }
            }
        }
    }
    EXPECT_EQ(n_kept, counts.size()) << "pairs computed that nobody keeps";
}

void expect_bands(const call & c) {
    for (const int32_t tile_keys : {32, 64, 112, 128}) {
        for (const int32_t n_slots : {1, 132}) {
            expect_pairs(c, {tile_keys, n_slots}, [&](size_t i, int32_t head, int64_t rank, int64_t key) {
                const bool exempt = c.args.dense_head != nullptr && c.args.dense_head[head] != 0;
                return exempt || keeps(c.segments[i].kept, rank, key);
            });
        }
    }
}

TEST(cuda_work_list, bands) {
    for (const band & kept :
         {band{}, band{0, 1}, band{8, 64}, band{0, 100}, band{17, 30}, band{200, 20}, band{8, 250}, band{5, 9}}) {
        for (const int64_t rank_begin : {0, 1, 40, 200}) {
            call c = heads(2, 1);
            c.add(0, 150, rank_begin, kept);
            expect_bands(c);
        }
    }
}

TEST(cuda_work_list, groups_of_heads) {
    for (const auto & [n_head, n_head_kv] : {std::pair{1, 1}, {3, 1}, {14, 2}, {16, 1}, {5, 5}}) {
        call c = heads(n_head, n_head_kv);
        c.add(3, 70, 90, {8, 40});
        expect_bands(c);
    }
    call many = heads(300, 1);  // more heads than an item has rows
    many.add(0, 2, 5, {1, 2});
    expect_bands(many);
}

TEST(cuda_work_list, segments_streams_and_dense_heads) {
    const uint8_t dense[] = {0, 1, 1, 0, 0, 0};
    call c = heads(6, 2);
    c.args.dense_head = dense;
    c.add(0, 40, 100, {4, 20});
    c.add(40, 30, 140, {});
    c.add(0, 33, 0, {4, 20}, 1);
    expect_bands(c);
}

TEST(cuda_work_list, long_items_are_split_and_combined_in_order) {
    call c = heads(4, 1);
    c.add(0, 32, 4000, {});
    const work_list list = c.make({64, 4});
    ASSERT_EQ(1u, list.combines.size());
    const combine_item & combine = list.combines[0];
    EXPECT_EQ(list.n_partials, combine.n_parts);
    EXPECT_GT(combine.n_parts, 1);
    std::map<int32_t, const item_walk *> parts;
    for (size_t i = 0; i < list.items.size(); ++i) {
        EXPECT_TRUE(parts.emplace(list.items[i].place.partial, &list.items[i].walk).second);
    }
    int32_t next = 0;
    for (const auto & [slot, walk] : parts) {
        EXPECT_EQ(next, walk->tile_begin);
        next = walk->tile_end;
    }
    EXPECT_EQ(63, next);
    EXPECT_GE(list.items[static_cast<size_t>(combine.item)].place.partial, combine.first_partial);
}

TEST(cuda_work_list, long_items_start_first) {
    call c = heads(8, 2);
    c.add(0, 3000, 0, {8, 64});
    c.add(3000, 64, 3000, {});
    const work_list list = c.make({64, 132});
    const auto size_of = [](const item_walk & walk) { return walk.tile_end - walk.tile_begin; };
    for (size_t i = 1; i < list.items.size(); ++i) {
        EXPECT_LE(size_of(list.items[i].walk), 2 * size_of(list.items[i - 1].walk));
    }
}

TEST(cuda_work_list, dense_rows_start_before_selected_ones) {
    call c = heads(4, 2);
    c.add(0, 896, 10000, {});
    c.add(896, 128, 10896, {});
    c.selected = {1, 0};
    const work_list list = c.make({64, 8});
    const auto is_selected = [](const work_item & item) { return item.place.row_begin < 896; };
    EXPECT_TRUE(std::is_partitioned(list.items.begin(), list.items.end(), std::not_fn(is_selected)));
    EXPECT_TRUE(is_selected(list.items.back()));
    EXPECT_FALSE(is_selected(list.items.front()));
}

// A tenth of the blocks, as told: dense rows beside them must not take longer than all the others do.
TEST(cuda_work_list, dense_rows_are_cut_by_the_share_that_is_expected_of_selected_ones) {
    call c = heads(32, 8);
    c.add(0, 3968, 100000, {});
    c.add(3968, 128, 103968, {});
    c.selected = {1, 0};
    const auto longest = [](const work_list & list, bool selected) {
        int32_t tiles = 0;
        for (const work_item & item : list.items) {
            const bool dense = item.place.row_begin >= 3968;
            tiles = dense == selected ? tiles : std::max(tiles, item.walk.tile_end - item.walk.tile_begin);
        }
        return tiles;
    };
    const work_list all = c.make({128, 132});
    c.expected_share = 0.1;
    const work_list tenth = c.make({128, 132});
    EXPECT_EQ(longest(all, false), 814) << "104,096 keys, whole";
    EXPECT_LE(longest(tenth, false), 814 / 4);
    EXPECT_EQ(longest(tenth, true), longest(all, true)) << "what is selected is short";
}

TEST(cuda_work_list, block_lists) {
    for (const bool per_query_head : {false, true}) {
        for (const int64_t block : {16, 32, 64, 128}) {
            call c = heads(4, 2);
            c.add(0, 100, 150, {});
            block_lists lists;
            lists.block_keys = block;
            lists.list_rows = 48;
            lists.per_query_head = per_query_head;
            const int64_t n_lists = 3 * (per_query_head ? 4 : 2);
            std::vector<int64_t> begin = {0};
            std::vector<int32_t> first_rank;
            for (int64_t list = 0; list < n_lists; ++list) {
                for (int64_t rank = 5 * list % 37; rank < 250; rank += block * (1 + (list + rank) % 3)) {
                    first_rank.push_back(static_cast<int32_t>(rank));
                }
                begin.push_back(static_cast<int64_t>(first_rank.size()));
            }
            lists.begin = begin.data();
            lists.first_rank = first_rank.data();
            c.lists = {lists};
            for (const int32_t tile_keys : {64, 112, 128}) {
                expect_pairs(c, {tile_keys, 2}, [&](size_t, int32_t head, int64_t rank, int64_t key) {
                    const int64_t list = (per_query_head ? head : head / 2) * 3 + (rank - 150) / 48;
                    for (int64_t i = begin[list]; i < begin[list + 1]; ++i) {
                        if (key >= first_rank[i] && key < first_rank[i] + block) {
                            return true;
                        }
                    }
                    return false;
                });
            }
        }
    }
}

// One block of more keys than there are: the walk ends with the item's rows, whatever the block says.
TEST(cuda_work_list, blocks_reach_behind_the_last_key) {
    for (const int64_t block : {int64_t{256}, int64_t{1} << 20, int64_t{1} << 30, int64_t{1} << 40, int64_t{1} << 62}) {
        call c = heads(4, 2);
        c.add(0, 100, 150, {});
        const int64_t begin[] = {0, 1, 2};
        const int32_t first_rank[] = {3, 160};
        block_lists lists;
        lists.block_keys = block;
        lists.list_rows = std::numeric_limits<int64_t>::max();
        lists.begin = begin;
        lists.first_rank = first_rank;
        c.lists = {lists};
        expect_pairs(c, {64, 2}, [&](size_t, int32_t head, int64_t, int64_t key) {
            return key >= first_rank[head / 2] && key < first_rank[head / 2] + block;
        });
        const work_list list = c.make({64, 2});
        for (const auto & [place, walk] : list.items) {
            EXPECT_LE(walk.n_slices, 250 / k_slice + 1) << "blocks of " << block;
        }
        EXPECT_EQ(2u, list.first_ranks.size()) << "the items of a list share its blocks";
    }
}

// What the device does with the bits of selected blocks (make_walks.cu), one job after the other. Returns the counters.
std::vector<int64_t> run_jobs(work_list & list, const std::vector<uint32_t> & bits, int32_t tile_keys) {
    std::vector<int64_t> counters(list.counted.size());
    list.first_ranks.resize(list.first_ranks.size() + static_cast<size_t>(list.n_selected_ranks), -1);
    for (const walk_job & job : list.jobs) {
        int32_t n_blocks = 0;
        for (int32_t word = 0; word * 32 * job.block_keys < job.rank_end; ++word) {
            const uint32_t kept = job_bits(job, job.blocks(), bits.data(), word);
            for (int32_t bit = 0; bit < 32; ++bit) {
                if ((kept >> bit & 1) != 0) {
                    list.first_ranks[static_cast<size_t>(job.list_begin + n_blocks++)] =
                        (word * 32 + bit) * job.block_keys;
                }
            }
        }
        counters[static_cast<size_t>(job.counter)] += pairs_in_blocks(job.rows(), n_blocks, job.block_keys);
        for (int32_t i = job.item_begin; i < job.item_end; ++i) {
            const auto item = static_cast<size_t>(list.job_items[static_cast<size_t>(i)]);
            auto & [place, walk] = list.items[item];
            walk = list_walk(place, seen_by(place, job, n_blocks), tile_keys);
        }
    }
    return counters;
}

void expect_walks_of_selected_blocks(int64_t block_keys) {
    for (const bool per_query_head : {false, true}) {
        for (const int64_t rank_begin : {0, 128, 300, 511}) {
            for (const int32_t n_slots : {1, 132}) {
                call c = heads(4, 2);
                c.per_query_head = per_query_head;
                c.block_keys = block_keys;
                c.add(0, 40, 90, {4, 20});
                c.add(40, 333, rank_begin, k_no_band);
                c.add(373, 129, 0, {3, 150});
                c.selected = {0, 1, 1};
                work_list list = c.make({64, n_slots});
                ASSERT_TRUE(list.fits());
                std::mt19937 random(11);
                std::vector<uint32_t> bits(static_cast<size_t>(list.n_bit_words));
                for (uint32_t & word : bits) {
                    word = static_cast<uint32_t>(random()) & static_cast<uint32_t>(random());
                }
                const std::vector<int64_t> kept = run_jobs(list, bits, 64);
                std::map<std::pair<size_t, int32_t>, int64_t> kept_by_head;  // of segment and head
                for (size_t i = 0; i < kept.size(); ++i) {
                    for (int32_t head = 0; head < list.counted[i].n_heads; ++head) {
                        kept_by_head[{static_cast<size_t>(list.counted[i].segment),
                                      list.counted[i].head_begin + head}] += kept[i];
                    }
                }
                pair_counts counts = walk(list, 64);
                size_t n_kept = 0;
                size_t first_word = 0;
                for (size_t i = 0; i < c.segments.size(); ++i) {
                    const attention_segment & s = c.segments[i];
                    const bitmap_shape shape{4, {s.rank_begin, s.rank_begin + s.row_end - s.row_begin}, block_keys};
                    const auto keeps_block = [&](int32_t head, int64_t rank, int64_t block) {
                        const int64_t tile = (rank - s.rank_begin) / 128;
                        const int64_t begin = per_query_head ? head : head / 2 * 2;
                        const int64_t end = per_query_head ? head + 1 : begin + 2;
                        bool any = block == 0;
                        for (int64_t other = shape.rows_of(tile).begin; other < shape.rows_of(tile).end; ++other) {
                            any = any || other / block_keys == block;
                            for (int64_t key = block * block_keys;
                                 key < (block + 1) * block_keys && s.kept.n_window > 1; ++key) {
                                any = any || keeps(s.kept, other, key);
                            }
                        }
                        for (int64_t h = begin; h < end; ++h) {
                            const size_t word =
                                first_word + static_cast<size_t>(shape.first_word(h, tile) + block / 32);
                            any = any || (bits[word] >> (block % 32) & 1) != 0;
                        }
                        return any;
                    };
                    for (int32_t head = 0; head < 4; ++head) {
                        for (int64_t row = s.row_begin; row < s.row_end; ++row) {
                            const int64_t rank = s.rank_begin + row - s.row_begin;
                            bool block_kept = false;
                            for (int32_t key = 0; key <= rank; ++key) {
                                if (c.selected[i] != 0 && key % block_keys == 0) {
                                    block_kept = keeps_block(head, rank, key / block_keys);
                                }
                                if (c.selected[i] != 0 ? !block_kept : !keeps(s.kept, rank, key)) {
                                    continue;
                                }
                                ++n_kept;
                                kept_by_head[{i, head}] -= c.selected[i] != 0 ? 1 : 0;
                                const int found = counts[pair_of(s.batch, head, static_cast<int32_t>(row), key)];
                                ASSERT_EQ(1, found) << "segment " << i << " head " << head << " row " << row << " key "
                                                    << key << " from rank " << rank_begin;
                            }
                        }
                    }
                    first_word += c.selected[i] != 0 ? static_cast<size_t>(shape.total_words()) : 0;
                }
                EXPECT_EQ(n_kept, counts.size()) << "pairs computed that nobody keeps";
                for (const auto & [who, rest] : kept_by_head) {
                    EXPECT_EQ(0, rest) << "pairs counted of segment " << who.first << ", head " << who.second;
                }
            }
        }
    }
}

TEST(cuda_work_list, selected_blocks) {
    expect_walks_of_selected_blocks(128);
}

TEST(cuda_work_list, selected_fine_blocks) {
    expect_walks_of_selected_blocks(16);
}

// A list of every block is walked as a dense band is: the same tiles, the same masks, the same parts.
TEST(cuda_work_list, selecting_everything_walks_as_dense) {
    call dense = heads(8, 2);
    dense.add(0, 300, 1024, {});
    const list_config config{128, 4};
    const work_list expected = dense.make(config);
    for (const int64_t block_keys : {128, 16}) {
        call all = dense;
        all.segments[0].kept = k_no_band;
        all.selected = {1};
        all.block_keys = block_keys;
        work_list list = all.make(config);
        const std::vector<uint32_t> bits(static_cast<size_t>(list.n_bit_words), ~uint32_t{0});
        run_jobs(list, bits, config.tile_keys);
        ASSERT_EQ(expected.items.size(), list.items.size());
        for (size_t i = 0; i < list.items.size(); ++i) {
            EXPECT_EQ(0, std::memcmp(&expected.items[i].place, &list.items[i].place, sizeof(item_place)));
            const item_walk & a = expected.items[i].walk;
            const item_walk & b = list.items[i].walk;
            EXPECT_EQ(a.n_slices, b.n_slices);
            EXPECT_EQ(a.tile_begin, b.tile_begin);
            EXPECT_EQ(a.tile_end, b.tile_end);
            EXPECT_EQ(a.full_begin, b.full_begin);
            EXPECT_EQ(a.full_end, b.full_end);
            for (int32_t slice = 0; slice < a.n_slices; ++slice) {
                EXPECT_EQ(slice_rank(a, nullptr, slice), slice_rank(b, list.first_ranks.data(), slice));
            }
        }
    }
}

TEST(cuda_declines, names_what_is_not_covered) {
    attention_args good;
    good.n_head = 8;
    good.n_head_kv = 2;
    good.d_qk = good.d_v = 128;
    EXPECT_EQ(nullptr, cuda_declines(good));
    const auto reason = [&](auto change) {
        attention_args args = good;
        change(args);
        const char * text = cuda_declines(args);
        return std::string(text != nullptr ? text : "");
    };
    EXPECT_NE("", reason([](attention_args & a) { a.k_type = dtype::f32; }));
    EXPECT_NE("", reason([](attention_args & a) { a.v_type = dtype::bf16; }));
    EXPECT_NE("", reason([](attention_args & a) { a.d_qk = 72; }));
    EXPECT_NE("", reason([](attention_args & a) { a.d_v = 512; }));
    EXPECT_NE("", reason([](attention_args & a) { a.n_head = 9; }));
    EXPECT_NE("", reason([](attention_args & a) { a.n_kv = int64_t{1} << 31; }));
    const float per_head[8] = {};
    EXPECT_NE("", reason([&](attention_args & a) { a.alibi_slope = per_head; }));
    EXPECT_EQ("", reason([&](attention_args & a) { a.sink_logit = per_head; }));
    EXPECT_EQ("", reason([](attention_args & a) { a.logit_softcap = 50; }));
    EXPECT_EQ("", reason([](attention_args & a) { a.skip_factor = 500; }));
    EXPECT_EQ("", reason([](attention_args & a) { a.k_type = dtype::q4_0; }));
    EXPECT_EQ("", reason([](attention_args & a) { a.k_type = a.v_type = dtype::bf16; }));
}

TEST(args_as_read, are_the_calls_own_where_nothing_is_copied) {
    attention_args args;
    args.k_type = dtype::bf16;
    args.n_kv = 77;
    args.k_stride_row = 1024;
    const attention_args read = args_as_read(args, 0);
    EXPECT_EQ(dtype::bf16, read.k_type);
    EXPECT_EQ(77, read.n_kv);
    EXPECT_EQ(1024, read.k_stride_row);
}

// Several gathered segments may have more keys than the call's key axis: a selector must hear of the copies' sizes.
TEST(args_as_read, are_the_copies_where_keys_are_copied) {
    attention_args args;
    args.k_type = dtype::q8_0;
    args.n_batch = 3;
    args.n_head_kv = 2;
    args.n_kv = 77;
    args.d_qk = 64;
    args.d_v = 96;
    args.k_stride_batch = args.v_stride_batch = 5;
    const attention_args read = args_as_read(args, 200);
    EXPECT_EQ(dtype::f16, read.k_type);
    EXPECT_EQ(dtype::f16, read.v_type);
    EXPECT_EQ(3, read.n_batch);  // of q
    EXPECT_EQ(200, read.n_kv);
    EXPECT_EQ(0, read.k_stride_batch);
    EXPECT_EQ(0, read.v_stride_batch);
    EXPECT_EQ(64, read.k_stride_head);
    EXPECT_EQ(96, read.v_stride_head);
    EXPECT_EQ(128, read.k_stride_row);
    EXPECT_EQ(192, read.v_stride_row);
}

}  // namespace
}  // namespace tmx::cuda
