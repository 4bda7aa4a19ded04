// What the algorithm (tile_attention-inl.h) is handed by its caller (attention.cpp): one work item, one tile plan,
// one thread's scratch. Plain data, the same for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cpu_base/kernel_list.h"
#include "trianglemix/attention.h"
#include "trianglemix/kernel_features.h"

namespace tmx::cpu {

// Keys converted at a time. 128 keys amortise a row's softmax and the reload of its accumulators (both once a tile)
// while K and V tiles of 128-dim heads (64 KiB each in f32) stay in a 512 KiB L2 beside queries and outputs.
constexpr int64_t k_block_keys = 128;

// Packed rows (positions x query heads of one key head) of a work item. Every converted K/V tile serves all of them, so
// conversion costs 1 / 256th; more would push queries and accumulators out of L2.
constexpr int64_t k_block_rows = 256;

constexpr int64_t k_max_dim = k_cpu_features.dims.most;

// The place of an item: rows [row_begin, row_end) of one segment, times the query heads [head_begin, head_end) of one
// key head.
struct item_place {
    int32_t segment = 0;
    int32_t key_head = 0;
    int32_t head_begin = 0;
    int32_t head_end = 0;
    int64_t row_begin = 0;
    int64_t row_end = 0;

    int64_t packed_rows() const { return (row_end - row_begin) * (head_end - head_begin); }
};

// The walk of an item: the keys that its rows visit, and which of these pairs count. Whoever made it; the kernel only
// goes along it.
struct item_walk {
    std::span<const index_range> ranges;  // of ranks (masked: of indices), ascending, disjoint, none empty
    band kept;                            // of a ranked segment: of the visited keys, a row keeps what this keeps
};

// The tiles of keys that a stretch of a walk is cut into.
constexpr int64_t n_tiles(index_range keys) {
    return (keys.size() + k_block_keys - 1) / k_block_keys;
}
constexpr index_range tile_of(index_range keys, int64_t tile) {
    const int64_t begin = keys.begin + tile * k_block_keys;
    return {begin, smaller(begin + k_block_keys, keys.end)};
}

struct work_item {
    item_place place;
    item_walk walk;
    int64_t cost = 0;  // kept pairs (masked: all pairs), to start the longest items first
};

// Scratch of one thread; sizes for the largest item of a call. Carved from one aligned allocation.
struct thread_scratch {
    float * q = nullptr;           // [rows, d_qk]; fast: bf16 pairs [rows, d_qk / 2] in the same memory
    float * k = nullptr;           // panels over keys: [panel][d_qk][panel width]; fast: [panel][d_qk / 2][width] pairs
    float * v = nullptr;           // panels over d_v:  [panel][keys][panel width]; fast: [panel][keys / 2][width] pairs
    float * logits = nullptr;      // [row block, k_block_keys] logits, then weights
    uint32_t * weights = nullptr;  // fast: [row block, k_block_keys / 2] bf16 pairs
    float * out = nullptr;         // [rows, d_v] unnormalised output
    float * row_max = nullptr;     // [rows]
    float * row_sum = nullptr;     // [rows]
    float * convert = nullptr;     // [4, k_max_dim] f32 rows between decoding and packing
    uint8_t * cover = nullptr;     // [k_block_rows] masked segments: tile_cover of a row in the current tile
};

// One kernel: an instruction set's build of the algorithm. Returns what it skipped of the item.
using run_item_fn = skip_counts (*)(const attention_args & args, const attention_segment & segment,
                                    const work_item & item, const thread_scratch & scratch);

struct kernel {
    const char * name;
    int64_t highway_target;  // what the CPU must have: a bit of hwy::SupportedTargets(), or cpu_base::k_any_cpu
    bool (*available)();     // what the CPU must have beyond that; null: nothing
    run_item_fn run_exact;
    run_item_fn run_fast;  // null: no fast precision
    bool (*fast_pays)();   // whether run_fast is faster than run_exact on this CPU; null: there is none
};

cpu_base::kernel_list<kernel> all_kernels();
bool runs_here(const kernel & k);

}  // namespace tmx::cpu
