// The warps beside those that multiply: one copies mean keys, one adds what was summed to the scores, the others
// convert queries.
#pragma once

#include "select/cuda/means_hopper.cuh"

namespace tmx::cuda::hopper {

// One warp, of which one thread works: all chunks twice for each set.
template <typename C>
__device__ void copy_mean_keys(const score_params & p, const CUtensorMap & map, shared_memory<C> & shared) {
    if (threadIdx.x % 32 != 0) {
        return;
    }
    sm90::ring<k_key_stages> ring;
    set_walk set(p);
    while (set.next()) {
        const auto first = static_cast<int32_t>(set.tile().head_kv * p.n_padded);
        for (int pass = 0; pass < 2; ++pass) {
            for (int32_t chunk = 0; chunk < set.n_chunks(); ++chunk) {
                ptx::barrier_wait(shared.k_empty[ring.slot], ring.parity ^ 1);
                uint64_t & full = shared.k_full[ring.slot];
                ptx::barrier_arrive_expect(full, C::k_chunk_bytes);
                for (int panel = 0; panel < C::k_panels; ++panel) {
                    ptx::load_box(ptx::shared_address(shared.k[ring.slot]) + panel * C::k_key_panel_bytes, &map, full,
                                  panel * sm90::k_panel_dims, first + chunk * k_keys, 0, 0);
                }
                ring.advance();
            }
        }
    }
}

// One warp: the sums of a chunk's warps, in their order, to the scores.
template <typename C>
__device__ void add_scores(const score_params & p, shared_memory<C> & shared) {
    const auto lane = static_cast<int32_t>(threadIdx.x) % 32;
    sm90::ring<k_sum_slots> ring;
    set_walk set(p);
    while (set.next()) {
        for (int32_t chunk = 0; chunk < set.n_chunks(); ++chunk) {
            ptx::barrier_wait(shared.sums_full[ring.slot], ring.parity);
            const chunk_sums & own = shared.sums[ring.slot];
#pragma unroll
            for (int32_t key = lane; key < k_keys; key += 32) {
                const int32_t block = chunk * k_keys + key;
                float sum = own.sums[0][key];
#pragma unroll
                for (int warp = 1; warp < k_consumer_warps; ++warp) {
                    sum += own.sums[warp][key];
                }
                if (block < set.tile().n_scored) {
                    float & score = set.tile().scores[block];
                    score = set.first_of_tile() ? sum : fmaf(score, own.rescale, sum);
                }
            }
            __syncwarp();
            if (lane == 0) {
                ptx::barrier_arrive(shared.sums_empty[ring.slot]);
            }
            ring.advance();
        }
    }
}

// Queries of a set towards the L2 cache: the rows that the warp will convert, a lane a row.
__device__ inline void fetch_ahead(const score_params & p, const set_walk & set, int warp) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int row = warp + lane * k_loader_warps; row < k_set_rows; row += 32 * k_loader_warps) {
        if (set.exists(row)) {
            ptx::fetch_to_l2(set.query(row), p.d * static_cast<int32_t>(sizeof(float)));
        }
    }
}

// Some warps: queries from f32 to the type of the products. A warp takes every k_loader_warps-th row, whole; a lane
// four dims of it. Those of the next set are on their way meanwhile: from the cache they come before the products of a
// set are done, from memory they would not.
template <typename C>
__device__ void convert_queries(const score_params & p, shared_memory<C> & shared, int warp) {
    constexpr int k_in_flight = 5;  // rows
    const int dim = static_cast<int>(threadIdx.x) % 32 * 4;
    const int chunk = dim % sm90::k_panel_dims / 8;
    sm90::ring<k_query_buffers> ring;
    set_walk set(p);
    set_walk ahead(p);
    bool more = ahead.next();
    while (set.next()) {
        more = more && ahead.next();
        if (more && p.queries.by_16) {
            fetch_ahead(p, ahead, warp);
        }
        ptx::barrier_wait(shared.q_empty[ring.slot], ring.parity ^ 1);
        uint8_t * target = shared.q[ring.slot] + dim / sm90::k_panel_dims * C::k_query_panel_bytes + dim % 8 * 2;
        for (int first = warp; first < k_set_rows; first += k_in_flight * k_loader_warps) {
            float4 fours[k_in_flight];
#pragma unroll
            for (int i = 0; i < k_in_flight; ++i) {
                const int row = first + i * k_loader_warps;
                fours[i] = make_float4(0, 0, 0, 0);
                if (row < k_set_rows && dim < p.d && set.exists(row)) {
                    const float * source = set.query(row) + dim;
                    fours[i] = p.queries.by_16 ? __ldg(reinterpret_cast<const float4 *>(source))
                                               : make_float4(source[0], source[1], source[2], source[3]);
                }
            }
#pragma unroll
            for (int i = 0; i < k_in_flight; ++i) {
                const int row = first + i * k_loader_warps;
                if (row < k_set_rows && dim < C::k_dim) {
                    using T = typename C::element;
                    *reinterpret_cast<uint2 *>(target + row * k_row_bytes + (chunk ^ (row & 7)) * 16) =
                        make_uint2(ptx::pack<T>(fours[i].x * p.q_sign, fours[i].y * p.q_sign),
                                   ptx::pack<T>(fours[i].z * p.q_sign, fours[i].w * p.q_sign));
                }
            }
        }
        ptx::fence_async_proxy();
        __syncwarp();
        if (threadIdx.x % 32 == 0) {
            ptx::barrier_arrive(shared.q_full[ring.slot]);
        }
        ring.advance();
    }
}

}  // namespace tmx::cuda::hopper
