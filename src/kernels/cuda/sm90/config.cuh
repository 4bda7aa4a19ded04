// Tile sizes and shared memory of the Hopper kernel, and why they are what they are: docs/kernel_cuda.md.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/work_item.h"

namespace tmx::cuda::sm90 {

constexpr int k_consumers = 2;   // warpgroups that multiply, 64 packed rows each
constexpr int k_key_stages = 3;  // tiles of keys in flight or in use; one more than values, as they are copied first
constexpr int k_value_stages = 2;
constexpr int k_item_slots = 4;   // work items known ahead
constexpr int k_panel_dims = 64;  // dims of a 128-byte row: what the swizzle spans
constexpr int k_row_bytes = 128;

template <typename T, int k_dim_, int k_keys_, bool k_options_>
struct config {
    using element = T;
    static constexpr bool k_options = k_options_;
    static constexpr int k_dim = k_dim_;    // largest head dimension; a multiple of 16
    static constexpr int k_keys = k_keys_;  // of a tile
    static constexpr int k_panels = (k_dim + k_panel_dims - 1) / k_panel_dims;
    static constexpr int k_slices = k_keys / k_slice;
    static constexpr int k_tile_bytes = k_panels * k_keys * k_row_bytes;
    static constexpr int k_q_bytes = k_panels * k_item_rows * k_row_bytes;
    // Two buffers let the next item's queries be converted while this one computes; wide heads have no room for them.
    static constexpr int k_q_buffers = k_dim <= 128 ? 2 : 1;
    // Warpgroups that fetch. A block's threads share 65536 registers evenly at launch; 128 each are too few for ptxas
    // to place the instruction that sums 256 columns, 168 are enough.
    static constexpr int k_producers = k_dim <= 128 ? 2 : 1;
    static constexpr int k_threads = 128 * (k_producers + k_consumers);
    static constexpr int k_blocks = 1;  // on a multiprocessor at a time
    // Warps of the producers: one draws work items, one copies keys and values, the others convert queries.
    static constexpr int k_loader_warps = 4 * k_producers - 2;
    // Registers of a thread after the roles are known.
    static constexpr int k_producer_registers = k_dim <= 128 ? 48 : k_options ? 56 : 72;
    static constexpr int k_consumer_registers = k_dim <= 128 ? 208 : k_options ? 224 : 216;
    static_assert(k_keys % k_slice == 0 && k_keys * k_row_bytes % 1024 == 0);
};

template <typename C>
struct alignas(1024) shared_memory {
    uint8_t q[C::k_q_buffers][C::k_q_bytes];   // [panel][row][64 dims], swizzled
    uint8_t k[k_key_stages][C::k_tile_bytes];  // [panel][key][64 dims]
    uint8_t v[k_value_stages][C::k_tile_bytes];
    work_item items[k_item_slots];  // place.n_rows 0: no more work
    uint64_t q_full[C::k_q_buffers], q_empty[C::k_q_buffers];
    uint64_t k_full[k_key_stages], k_empty[k_key_stages];
    uint64_t v_full[k_value_stages], v_empty[k_value_stages];
    uint64_t item_full[k_item_slots], item_empty[k_item_slots];
    // Where tiles may be skipped: which warpgroup wants the values of the tile in a stage, once both have said so.
    uint64_t v_decided[k_value_stages];
    uint32_t v_wanted[k_value_stages][k_consumers];
};

// Which tile is the `turn`-th that an item visits, counted from walk.tile_begin on.
template <typename C>
__device__ inline int32_t visited_tile(const kernel_params & params, const work_item & item, int32_t turn) {
    return C::k_options && params.skip_factor > 0 ? tile_in_turn(item.walk.tile_begin, item.walk.tile_end, turn) : turn;
}

// A position in a ring of `n` buffers, with the parity of its barriers.
template <int n>
struct ring {
    int slot = 0;
    uint32_t parity = 0;
    __device__ void advance() {
        if (++slot == n) {
            slot = 0;
            parity ^= 1;
        }
    }
};

// Named barriers of the block; 0 is everyone's.
enum barrier_id { k_turn = 1 /* + warpgroup */, k_within = 3 /* + warpgroup */ };

}  // namespace tmx::cuda::sm90
