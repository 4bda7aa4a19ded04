// The first warpgroup of a block: fetches work items, copies keys and values, converts queries.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/sm90/config.cuh"
#include "kernels/cuda/sm90/tensor_map.h"

namespace tmx::cuda::sm90 {

template <typename C>
__device__ void load_tile(const work_item & item, const int32_t * first_ranks, int32_t tile, const CUtensorMap & map,
                          const CUtensorMap & slice_map, uint8_t * shared, uint64_t & full) {
    const uint32_t address = ptx::shared_address(shared);
    const int32_t first = tile * C::k_slices;
    const int32_t n_slices = smaller(C::k_slices, item.n_slices - first);
    const int32_t begin = slice_rank(item, first_ranks, first);
    const int32_t last = slice_rank(item, first_ranks, first + C::k_slices - 1);
    const bool banded = item.list_begin < 0 && first >= item.sink_slices();
    if (banded || last - begin == C::k_keys - k_slice) {
        ptx::barrier_arrive_expect(full, C::k_tile_bytes);
        for (int panel = 0; panel < C::k_panels; ++panel) {
            ptx::load_box(address + panel * C::k_keys * k_row_bytes, &map, full, panel * k_panel_dims,
                          item.key_base + begin, item.head_kv, item.kv_batch);
        }
        return;
    }
    ptx::barrier_arrive_expect(full, n_slices * C::k_panels * k_slice * k_row_bytes);
    for (int32_t slice = 0; slice < n_slices; ++slice) {
        const int32_t rank = slice_rank(item, first_ranks, first + slice);
        for (int panel = 0; panel < C::k_panels; ++panel) {
            ptx::load_box(address + (panel * C::k_keys + slice * k_slice) * k_row_bytes, &slice_map, full,
                          panel * k_panel_dims, item.key_base + rank, item.head_kv, item.kv_batch);
        }
    }
}

// Asks for an item's queries to be in the L2 cache by the time they are converted.
__device__ inline void prefetch_queries(const kernel_params & params, const work_item & item, int lane) {
    if (!params.q_by_16) {
        return;
    }
    const float * base = params.q + item.batch * params.q_stride_batch + item.head_begin * params.q_stride_head;
    for (int row = lane; row < item.packed_rows(); row += 32) {
        const packed_row at = unpack(item, row);
        ptx::prefetch_to_l2(
            base + (item.row_begin + at.position) * params.q_stride_row + at.head * params.q_stride_head,
            params.d_qk * sizeof(float));
    }
}

template <typename C>
__device__ void copy_keys_and_values(const kernel_params & params, const tensor_maps & maps,
                                     shared_memory<C> & shared) {
    const int lane = threadIdx.x % 32;
    ring<k_item_slots> next;
    ring<k_stages> k_ring;
    ring<k_stages> v_ring;

    // Puts item `index` into the next slot. The slot that was published before it is being computed meanwhile.
    const auto publish = [&](int32_t index) {
        ptx::barrier_wait(shared.item_empty[next.slot], next.parity ^ 1);
        work_item & item = shared.items[next.slot];
        if (index < params.n_items) {
            const int * source = reinterpret_cast<const int *>(params.items + index);
            if (lane < static_cast<int>(sizeof(work_item) / sizeof(int))) {
                reinterpret_cast<int *>(&item)[lane] = source[lane];
            }
        } else if (lane == 0) {
            item.n_rows = 0;
        }
        __syncwarp();
        if (lane == 0) {
            ptx::barrier_arrive(shared.item_full[next.slot]);
        }
        const int slot = next.slot;
        next.advance();
        return slot;
    };
    // The block's first item is its own number; the rest are drawn. The last draw of all resets the counter.
    const auto draw = [&] {
        int32_t index = 0;
        if (lane == 0) {
            const int32_t ticket = atomicAdd(params.next_item, 1);
            index = ticket + static_cast<int32_t>(gridDim.x);
            if (index == params.n_items + static_cast<int32_t>(gridDim.x) - 1) {
                *params.next_item = 0;
            }
        }
        return __shfl_sync(0xffffffff, index, 0);
    };

    int32_t index = blockIdx.x;
    int slot = publish(index);
    while (index < params.n_items) {
        const work_item & item = shared.items[slot];
        const int32_t following = draw();
        const int following_slot = publish(following);
        if (following < params.n_items) {
            prefetch_queries(params, shared.items[following_slot], lane);
        }
        if (lane == 0) {
            for (int32_t tile = item.tile_begin; tile < item.tile_end; ++tile) {
                ptx::barrier_wait(shared.k_empty[k_ring.slot], k_ring.parity ^ 1);
                load_tile<C>(item, params.first_ranks, tile, maps.k, maps.k_slice, shared.k[k_ring.slot],
                             shared.k_full[k_ring.slot]);
                k_ring.advance();
                ptx::barrier_wait(shared.v_empty[v_ring.slot], v_ring.parity ^ 1);
                load_tile<C>(item, params.first_ranks, tile, maps.v, maps.v_slice, shared.v[v_ring.slot],
                             shared.v_full[v_ring.slot]);
                v_ring.advance();
            }
            ptx::barrier_arrive(shared.item_empty[slot]);
        }
        __syncwarp();
        index = following;
        slot = following_slot;
    }
}

// Where the four dims from `dim` on of a row lie in a swizzled panel.
template <typename C>
__device__ inline uint32_t q_offset(int row, int dim) {
    const int panel = dim / k_panel_dims;
    const int chunk = dim % k_panel_dims / 8;
    return panel * k_item_rows * k_row_bytes + row * k_row_bytes + (chunk ^ (row & 7)) * 16 + dim % 8 * 2;
}

// Queries from f32 to the type of the products, for one item after the other.
template <typename C>
__device__ void convert_queries(const kernel_params & params, shared_memory<C> & shared) {
    constexpr int k_row_quads = C::k_dim / 4;
    constexpr int k_in_flight = 6;
    constexpr int k_quads = k_item_rows * k_row_quads;
    const int thread = threadIdx.x - 32;
    ring<k_item_slots> items;
    ring<C::k_q_buffers> buffers;
    while (true) {
        ptx::barrier_wait(shared.item_full[items.slot], items.parity);
        const work_item & item = shared.items[items.slot];
        if (item.n_rows == 0) {
            return;
        }
        const float * base = params.q + item.batch * params.q_stride_batch + item.head_begin * params.q_stride_head +
                             item.row_begin * params.q_stride_row;
        const int n_rows = item.packed_rows();
        ptx::barrier_wait(shared.q_empty[buffers.slot], buffers.parity ^ 1);
        uint8_t * target = shared.q[buffers.slot];
        for (int first = thread; first < k_quads; first += k_in_flight * k_loader_threads) {
            float4 quads[k_in_flight];
#pragma unroll
            for (int i = 0; i < k_in_flight; ++i) {
                const int quad = first + i * k_loader_threads;
                const int row = quad / k_row_quads;
                const int dim = quad % k_row_quads * 4;
                quads[i] = make_float4(0, 0, 0, 0);
                if (row < n_rows && dim < params.d_qk) {
                    const packed_row at = unpack(item, row);
                    const float * source =
                        base + at.position * params.q_stride_row + at.head * params.q_stride_head + dim;
                    if (params.q_by_16) {
                        quads[i] = __ldg(reinterpret_cast<const float4 *>(source));
                    } else {
                        quads[i] = make_float4(source[0], source[1], source[2], source[3]);
                    }
                }
            }
#pragma unroll
            for (int i = 0; i < k_in_flight; ++i) {
                const int quad = first + i * k_loader_threads;
                if (quad < k_quads) {
                    const float sign = params.q_sign;
                    const uint2 pair = make_uint2(ptx::pack<typename C::element>(quads[i].x * sign, quads[i].y * sign),
                                                  ptx::pack<typename C::element>(quads[i].z * sign, quads[i].w * sign));
                    *reinterpret_cast<uint2 *>(target + q_offset<C>(quad / k_row_quads, quad % k_row_quads * 4)) = pair;
                }
            }
        }
        ptx::fence_async_proxy();
        ptx::barrier_arrive(shared.q_full[buffers.slot]);
        ptx::barrier_arrive(shared.item_empty[items.slot]);
        buffers.advance();
        items.advance();
    }
}

}  // namespace tmx::cuda::sm90
