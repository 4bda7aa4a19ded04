// The fetching warps of a block: one draws work items, one copies keys and values, the others convert queries.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/sm90/config.cuh"
#include "kernels/cuda/sm90/tensor_map.h"

namespace tmx::cuda::sm90 {

// The slice of a listed tile that a lane has, if there is one. What may still be on its way from memory is not added up
// yet.
struct lane_slice {
    int32_t begin = 0;
    int32_t behind = 0;
    __device__ int32_t rank() const { return begin + behind; }
};
template <typename C>
__device__ inline lane_slice slice_of_lane(const item_walk & walk, const int32_t * first_ranks, int32_t tile) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int32_t slice = tile * C::k_slices + lane;
    if (walk.list_begin < 0 || lane >= C::k_slices || slice >= walk.n_slices) {
        return {};
    }
    return {first_ranks[place_in_list(walk, slice)], place_in_block(walk, slice)};
}

// What a lane copies of a tile: n_slices of the tile's, in one box a panel, if there are any. (A box may start at any
// multiple of 8 keys of a tile: there the swizzle starts anew.)
struct lane_boxes {
    int32_t tile_slices;
    int32_t first;  // of the tile's slices
    int32_t n_slices;
    int32_t key, head, batch;
};
// Of a listed tile, a lane whose slice does not follow the one before it copies it and those that do follow. Of a band,
// the first lane copies what the tile has of the sink and the next one what it has of the window; without a sink, the
// first one that.
template <typename C>
__device__ inline lane_boxes boxes_of_lane(const work_item & item, int32_t tile, const lane_slice & slice) {
    constexpr unsigned k_all_lanes = 0xffffffff;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const item_walk & walk = item.walk;
    const int32_t tile_begin = tile * C::k_slices;
    const int32_t tile_slices = smaller(C::k_slices, walk.n_slices - tile_begin);
    int32_t first = lane;
    int32_t n = 0;
    int32_t rank = slice.rank();
    if (walk.list_begin >= 0) {
        const int32_t before = __shfl_up_sync(k_all_lanes, rank, 1);
        const bool starts = lane < tile_slices && (lane == 0 || rank != before + k_slice);
        const unsigned later_starts = __ballot_sync(k_all_lanes, starts) >> lane >> 1;
        const int32_t up_to_next = later_starts != 0 ? __ffs(static_cast<int>(later_starts)) : tile_slices - lane;
        n = starts ? up_to_next : 0;
    } else {
        const int32_t n_sink = smaller(larger(walk.sink_slices() - tile_begin, 0), tile_slices);
        const bool of_sink = lane == 0 && n_sink > 0;
        first = of_sink ? 0 : n_sink;
        n = of_sink ? n_sink : lane == 0 || (lane == 1 && n_sink > 0) ? tile_slices - n_sink : 0;
        rank = slice_rank(walk, nullptr, tile_begin + first);
    }
    return {tile_slices, first, n, item.place.key_base + rank, item.place.head_kv, item.place.kv_batch};
}

// By a warp, once there is room.
template <typename C>
__device__ inline void load_tile(const lane_boxes & boxes, const box_maps & maps, uint8_t * shared, uint64_t & full) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (lane == 0) {
        ptx::barrier_arrive_expect(full, boxes.tile_slices * C::k_panels * k_slice * k_row_bytes);
    }
    __syncwarp();
    if (boxes.n_slices > 0) {
        const CUtensorMap & map = maps.of_slices[boxes.n_slices - 1];
        const uint32_t address = ptx::shared_address(shared) + boxes.first * k_slice * k_row_bytes;
        for (int panel = 0; panel < C::k_panels; ++panel) {
            ptx::load_box(address + panel * C::k_keys * k_row_bytes, &map, full, panel * k_panel_dims, boxes.key,
                          boxes.head, boxes.batch);
        }
    }
}

// Asks for an item's queries to be in the L2 cache by the time they are converted. By ordinary prefetches: as bulk
// copies of a row each they would keep the copy engine from the keys and values.
__device__ inline void prefetch_queries(const kernel_params & params, const item_place & place, int lane) {
    constexpr int k_line_dims = 32;
    const float * base = params.q + place.batch * params.q_stride_batch + place.head_begin * params.q_stride_head +
                         place.row_begin * params.q_stride_row;
    for (int row = lane; row < place.packed_rows(); row += 32) {
        const packed_row at = unpack(place, row);
        const float * source = base + at.position * params.q_stride_row + at.head * params.q_stride_head;
        for (int dim = 0; dim < params.d_qk; dim += k_line_dims) {
            ptx::prefetch_to_l2(source + dim);
        }
    }
}

// One warp: puts work items into the block's ring, ahead of their use. The block's first item is its own number; the
// rest are drawn. The last draw of all blocks resets the counter.
template <typename C>
__device__ void draw_items(const kernel_params & params, shared_memory<C> & shared) {
    const int lane = threadIdx.x % 32;
    ring<k_item_slots> items;
    int32_t index = blockIdx.x;
    while (true) {
        ptx::barrier_wait(shared.item_empty[items.slot], items.parity ^ 1);
        work_item & item = shared.items[items.slot];
        if (index < params.n_items) {
            constexpr int k_integers = sizeof(work_item) / sizeof(int);  // a lane each
            static_assert(k_integers <= 32);
            if (lane < k_integers) {
                reinterpret_cast<int *>(&item)[lane] = reinterpret_cast<const int *>(params.items + index)[lane];
            }
        } else if (lane == 0) {
            item.place.n_rows = 0;
        }
        ptx::barrier_arrive(shared.item_full[items.slot]);
        if (index >= params.n_items) {
            return;
        }
        __syncwarp();
        prefetch_queries(params, item.place, lane);
        items.advance();
        if (lane == 0) {
            const int32_t n_blocks = static_cast<int32_t>(gridDim.x);
            index = atomicAdd(params.next_item, 1) + n_blocks;
            if (index == params.n_items + n_blocks - 1) {
                *params.next_item = 0;
            }
        }
        index = __shfl_sync(0xffffffff, index, 0);
    }
}

// Whether any warpgroup wants the values of the tile in this slot. Waits until they have looked at its logits.
template <typename C>
__device__ inline bool values_wanted(const kernel_params & params, shared_memory<C> & shared,
                                     const ring<k_value_stages> & v_ring) {
    if (!C::k_options || !(params.skip_factor > 0)) {
        return true;
    }
    ptx::barrier_wait(shared.v_decided[v_ring.slot], v_ring.parity);
    const uint32_t * wanted = shared.v_wanted[v_ring.slot];
    return (wanted[0] | wanted[1]) != 0;
}

// One warp: keys and values of one item after the other. Keys run one tile ahead of values, over the end of an item,
// too: they are needed a step earlier. Where the slices of a tile lie its lanes read side by side, another tile ahead:
// what comes from memory is there by the time that it is needed.
template <typename C>
__device__ void copy_keys_and_values(const kernel_params & params, const tensor_maps & maps,
                                     shared_memory<C> & shared) {
    ring<k_item_slots> items;
    ring<k_key_stages> k_ring;
    ring<k_value_stages> v_ring;
    const auto slice_of = [&](const work_item & item, int32_t turn) {
        return turn < item.walk.tile_end
                   ? slice_of_lane<C>(item.walk, params.first_ranks, visited_tile<C>(params, item, turn))
                   : lane_slice{};
    };
    const auto load_keys = [&](const work_item & item, int32_t turn, const lane_slice & slice) {
        const lane_boxes boxes = boxes_of_lane<C>(item, visited_tile<C>(params, item, turn), slice);
        ptx::barrier_wait(shared.k_empty[k_ring.slot], k_ring.parity ^ 1);
        load_tile<C>(boxes, maps.k, shared.k[k_ring.slot], shared.k_full[k_ring.slot]);
        k_ring.advance();
    };
    bool first_keys_loaded = false;
    lane_slice slice;  // of the tile whose values come next
    while (true) {
        ptx::barrier_wait(shared.item_full[items.slot], items.parity);
        const work_item & item = shared.items[items.slot];
        if (item.place.n_rows == 0) {
            return;
        }
        ring<k_item_slots> next = items;
        next.advance();
        if (item.walk.tile_begin < item.walk.tile_end && !first_keys_loaded) {
            slice = slice_of(item, item.walk.tile_begin);
            load_keys(item, item.walk.tile_begin, slice);
        }
        first_keys_loaded = false;
        lane_slice next_slice = slice_of(item, item.walk.tile_begin + 1);
        for (int32_t turn = item.walk.tile_begin; turn < item.walk.tile_end; ++turn) {
            if (turn + 1 < item.walk.tile_end) {
                load_keys(item, turn + 1, next_slice);
            } else {
                // Only one item ahead: its slot waits for none whose values are still to come.
                ptx::barrier_wait(shared.item_full[next.slot], next.parity);
                const work_item & following = shared.items[next.slot];
                if (following.place.n_rows != 0 && following.walk.tile_begin < following.walk.tile_end) {
                    next_slice = slice_of(following, following.walk.tile_begin);
                    load_keys(following, following.walk.tile_begin, next_slice);
                    first_keys_loaded = true;
                }
            }
            const lane_slice slice_after = slice_of(item, turn + 2);
            const lane_boxes boxes = boxes_of_lane<C>(item, visited_tile<C>(params, item, turn), slice);
            ptx::barrier_wait(shared.v_empty[v_ring.slot], v_ring.parity ^ 1);
            if (values_wanted(params, shared, v_ring)) {
                load_tile<C>(boxes, maps.v, shared.v[v_ring.slot], shared.v_full[v_ring.slot]);
            } else if (threadIdx.x % 32 == 0) {
                ptx::barrier_arrive(shared.v_full[v_ring.slot]);
            }
            v_ring.advance();
            slice = next_slice;
            next_slice = slice_after;
        }
        __syncwarp();  // nobody reads the item any more
        if (threadIdx.x % 32 == 0) {
            ptx::barrier_arrive(shared.item_empty[items.slot]);
        }
        items = next;
    }
}

// Where the four dims from `dim` on of a row lie in a swizzled panel.
template <typename C>
__device__ inline uint32_t q_offset(int row, int dim) {
    const int panel = dim / k_panel_dims;
    const int chunk = dim % k_panel_dims / 8;
    return panel * k_item_rows * k_row_bytes + row * k_row_bytes + (chunk ^ (row & 7)) * 16 + dim % 8 * 2;
}

// Some warps: queries from f32 to the type of the products, for one item after the other. A warp takes every
// C::k_loader_warps-th row, whole; a lane four dims of it at a time.
template <typename C>
__device__ void convert_queries(const kernel_params & params, shared_memory<C> & shared, int warp) {
    constexpr int k_in_flight = 4;  // rows; with more, registers spill
    const int lane = threadIdx.x % 32;
    ring<k_item_slots> items;
    ring<C::k_q_buffers> buffers;
    while (true) {
        ptx::barrier_wait(shared.item_full[items.slot], items.parity);
        const work_item & item = shared.items[items.slot];
        if (item.place.n_rows == 0) {
            return;
        }
        const int32_t n_heads = item.place.n_heads;
        const int32_t n_packed = item.place.packed_rows();
        const int32_t head_step = C::k_loader_warps % n_heads;
        const int32_t position_step = C::k_loader_warps / n_heads;
        const float * base = params.q + item.place.batch * params.q_stride_batch +
                             item.place.head_begin * params.q_stride_head + item.place.row_begin * params.q_stride_row;
        ptx::barrier_wait(shared.q_empty[buffers.slot], buffers.parity ^ 1);
        uint8_t * target = shared.q[buffers.slot];
        for (int dim = lane * 4; dim < C::k_dim; dim += 128) {
            packed_row at = unpack(item.place, warp);
            for (int first = warp; first < k_item_rows; first += k_in_flight * C::k_loader_warps) {
                float4 quads[k_in_flight];
#pragma unroll
                for (int i = 0; i < k_in_flight; ++i) {
                    quads[i] = make_float4(0, 0, 0, 0);
                    if (first + i * C::k_loader_warps < n_packed && dim < params.d_qk) {
                        const float * source =
                            base + at.position * params.q_stride_row + at.head * params.q_stride_head + dim;
                        if (params.q_by_16) {
                            quads[i] = __ldg(reinterpret_cast<const float4 *>(source));
                        } else {
                            quads[i] = make_float4(source[0], source[1], source[2], source[3]);
                        }
                    }
                    at.head += head_step;
                    at.position += position_step;
                    if (at.head >= n_heads) {
                        at.head -= n_heads;
                        ++at.position;
                    }
                }
#pragma unroll
                for (int i = 0; i < k_in_flight; ++i) {
                    const int row = first + i * C::k_loader_warps;
                    if (row < k_item_rows) {
                        const float sign = params.q_sign;
                        *reinterpret_cast<uint2 *>(target + q_offset<C>(row, dim)) =
                            make_uint2(ptx::pack<typename C::element>(quads[i].x * sign, quads[i].y * sign),
                                       ptx::pack<typename C::element>(quads[i].z * sign, quads[i].w * sign));
                    }
                }
            }
        }
        ptx::fence_async_proxy();
        __syncwarp();
        if (lane == 0) {
            ptx::barrier_arrive(shared.q_full[buffers.slot]);
        }
        ptx::barrier_arrive(shared.item_empty[items.slot]);
        buffers.advance();
        items.advance();
    }
}

}  // namespace tmx::cuda::sm90
