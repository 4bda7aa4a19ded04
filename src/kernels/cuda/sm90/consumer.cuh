// The multiplying warpgroups: logits, softmax, weights x values, for 64 packed rows each.
//
// A step issues the logits of the next tile, then weights x values of this one, and does the softmax of the next while
// the tensor cores finish both. The two warpgroups take turns in issuing (`k_turn`), so that one multiplies while the
// other computes its softmax.
#pragma once

#include "kernels/cuda/options.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/results.cuh"
#include "kernels/cuda/sm90/config.cuh"
#include "kernels/cuda/sm90/wgmma.cuh"
#include "kernels/cuda/softmax.cuh"

namespace tmx::cuda::sm90 {

template <typename C>
class consumer {
    using T = typename C::element;
    static constexpr int k_key_blocks = C::k_keys / 8;
    static constexpr int k_dim_blocks = C::k_dim / 8;

  public:
    __device__ consumer(const kernel_params & params, shared_memory<C> & shared, int warpgroup)
        : params_(params), shared_(shared), warpgroup_(warpgroup) {}

    __device__ void run() {
        if (warpgroup_ == 1) {
            ptx::named_arrive(k_turn, 256);  // the first turn is warpgroup 0's
        }
        while (true) {
            ptx::barrier_wait(shared_.item_full[items_.slot], items_.parity);
            if (shared_.items[items_.slot].place.n_rows == 0) {
                return;
            }
            compute(shared_.items[items_.slot]);
            ptx::barrier_arrive(shared_.item_empty[items_.slot]);
            items_.advance();
        }
    }

  private:
    __device__ void release(uint64_t & barrier) {
        __syncwarp();
        if (threadIdx.x % 32 == 0) {
            ptx::barrier_arrive(barrier);
        }
    }

    // Issues logits = Q K^T for the tile in the current slot.
    __device__ void issue_logits(float (&logits)[C::k_keys / 2]) {
        const uint64_t q =
            ptx::matrix_descriptor(ptx::shared_address(shared_.q[q_ring_.slot]) + warpgroup_ * 64 * k_row_bytes, 16);
        const uint64_t k = ptx::matrix_descriptor(ptx::shared_address(shared_.k[k_ring_.slot]), 16);
#pragma unroll
        for (int step = 0; step < C::k_dim / 16; ++step) {
            const int panel = step / 4;
            const int bytes = step % 4 * 32;
            ptx::wgmma<T, C::k_keys>::ss(logits, ptx::advance(q, panel * k_item_rows * k_row_bytes + bytes),
                                         ptx::advance(k, panel * C::k_keys * k_row_bytes + bytes), step != 0);
        }
        ptx::wgmma_commit();
    }

    // Issues sums += weights x values for the tile in the current slot.
    __device__ void issue_values(float (&sums)[C::k_dim / 2], const uint32_t (&weights)[C::k_slices][4]) {
        const uint64_t v =
            ptx::matrix_descriptor(ptx::shared_address(shared_.v[v_ring_.slot]), C::k_keys * k_row_bytes);
#pragma unroll
        for (int step = 0; step < C::k_slices; ++step) {
            ptx::wgmma<T, C::k_dim>::rs(sums, weights[step], ptx::advance(v, step * k_slice * k_row_bytes), 1);
        }
        ptx::wgmma_commit();
    }

    // The first of the thread's two packed rows.
    __device__ int first_row() const {
        return warpgroup_ * 64 + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
    }

    __device__ void mask(float (&logits)[C::k_keys / 2], const work_item & item, int32_t tile) {
        mask_logits<k_key_blocks>(logits, first_row(), item.place, item.walk, params_.first_ranks, tile * C::k_slices);
    }

    // A weight of zero times whatever lies in keys that the walk does not visit must be zero: clears their values.
    // Both warpgroups write the same zeros.
    __device__ void clear_unvisited(const work_item & item, int32_t tile) {
        const int thread = threadIdx.x % 128;
        if (thread < C::k_keys) {
            const int32_t slice = tile * C::k_slices + thread / k_slice;
            if (slice_rank(item.walk, params_.first_ranks, slice) + thread % k_slice >= slice_limit(item.walk, slice)) {
                uint8_t * row = shared_.v[v_ring_.slot] + thread * k_row_bytes;
                for (int panel = 0; panel < C::k_panels; ++panel) {
                    for (int chunk = 0; chunk < k_row_bytes; chunk += 16) {
                        *reinterpret_cast<uint4 *>(row + panel * C::k_keys * k_row_bytes + chunk) =
                            make_uint4(0, 0, 0, 0);
                    }
                }
            }
        }
        ptx::fence_async_proxy();
        ptx::named_sync(k_within + warpgroup_, 128);
    }

    __device__ static void pack_weights(uint32_t (&weights)[C::k_slices][4], const float (&logits)[C::k_keys / 2]) {
#pragma unroll
        for (int step = 0; step < C::k_slices; ++step) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                weights[step][i] = ptx::pack<T>(logits[step * 8 + i * 2], logits[step * 8 + i * 2 + 1]);
            }
        }
    }

    __device__ void wait_values(const work_item & item, int32_t turn, bool partial) {
        ptx::barrier_wait(shared_.v_full[v_ring_.slot], v_ring_.parity);
        if (partial) {
            clear_unvisited(item, visited_tile<C>(params_, item, turn));
        }
    }

    // Logits, once they are there, become weights. False: the tile is skipped. `stage`: of its values.
    __device__ bool weigh_tile(float (&logits)[C::k_keys / 2], const work_item & item, int32_t turn, bool partial,
                               int stage, float (&rescale)[2]) {
        if (C::k_options && params_.capped) {
            cap_logits<k_key_blocks>(logits, params_.cap_scale);
        }
        if (partial) {
            mask(logits, item, visited_tile<C>(params_, item, turn));
        }
        if (C::k_options && params_.skip_factor > 0) {
            const float maxima[2] = {tile_maximum<k_key_blocks>(logits, 0, -INFINITY),
                                     tile_maximum<k_key_blocks>(logits, 1, -INFINITY)};
            const bool wanted = ptx::named_any(k_within + warpgroup_, 128,
                                               wants_tile(item.place, rows_, maxima, first_row(), skip_distance_));
            if (threadIdx.x % 128 == 0) {
                shared_.v_wanted[stage][warpgroup_] = wanted;
                ptx::barrier_arrive(shared_.v_decided[stage]);
            }
            if (wanted) {
                weigh<k_key_blocks>(logits, rows_, params_.scale_log2, rescale, maxima);
            } else {
                ++n_skipped_;
            }
            return wanted;
        }
        weigh<k_key_blocks>(logits, rows_, params_.scale_log2, rescale);
        return true;
    }

    __device__ int next_stage() const {
        return (v_ring_.slot + 1) % k_value_stages;
    }
    __device__ void release_keys() {
        release(shared_.k_empty[k_ring_.slot]);
        k_ring_.advance();
    }
    __device__ void release_values() {
        release(shared_.v_empty[v_ring_.slot]);
        v_ring_.advance();
    }
    // Values that this warpgroup skips. It waits until they are there for the other one, or will not come: a barrier's
    // parity tells only neighbouring uses of a stage apart.
    __device__ void pass_values() {
        ptx::barrier_wait(shared_.v_full[v_ring_.slot], v_ring_.parity);
        release_values();
    }

    __device__ void compute(const work_item & item) {
        rows_.start();
        float logits[C::k_keys / 2];
        float sums[C::k_dim / 2];
        uint32_t weights[C::k_slices][4];
        float rescale[2];
#pragma unroll
        for (int i = 0; i < C::k_dim / 2; ++i) {
            sums[i] = 0;
        }

        ptx::barrier_wait(shared_.q_full[q_ring_.slot], q_ring_.parity);
        // The item lies in shared memory, which every barrier makes the compiler read again.
        int32_t tile = item.walk.tile_begin;
        const int32_t tile_end = item.walk.tile_end;
        const int32_t full_begin = item.walk.full_begin;
        const int32_t full_end = item.walk.full_end;
        const auto partial = [&](int32_t turn) {
            const int32_t t = visited_tile<C>(params_, item, turn);
            return t < full_begin || t >= full_end;
        };
        if (C::k_options && params_.skip_factor > 0) {
            skip_distance_ = skip_distance(params_, item.place);
            n_skipped_ = 0;
        }
        if (tile < tile_end) {
            ptx::barrier_wait(shared_.k_full[k_ring_.slot], k_ring_.parity);
            ptx::wgmma_fence();
            issue_logits(logits);
            ptx::wgmma_wait<0>();
            ptx::hold(logits);
            release_keys();
            bool wanted = weigh_tile(logits, item, tile, partial(tile), v_ring_.slot, rescale);
            pack_weights(weights, logits);

            for (; tile + 1 < tile_end; ++tile) {
                ptx::barrier_wait(shared_.k_full[k_ring_.slot], k_ring_.parity);
                ptx::named_sync(k_turn + warpgroup_, 256);
                ptx::wgmma_fence();
                issue_logits(logits);
                if (wanted) {
                    wait_values(item, tile, partial(tile));
                    ptx::wgmma_fence();  // the weights, in registers, are this instruction's to read now
                    issue_values(sums, weights);
                    ptx::named_arrive(k_turn + 1 - warpgroup_, 256);
                    ptx::wgmma_wait<1>();
                    ptx::hold(logits);
                    release_keys();
                    wanted = weigh_tile(logits, item, tile + 1, partial(tile + 1), next_stage(), rescale);
                    ptx::wgmma_wait<0>();
                    ptx::hold(sums);
                    ptx::hold(logits);
                    release_values();
                } else {
                    ptx::named_arrive(k_turn + 1 - warpgroup_, 256);
                    ptx::wgmma_wait<0>();
                    ptx::hold(logits);
                    release_keys();
                    wanted = weigh_tile(logits, item, tile + 1, partial(tile + 1), next_stage(), rescale);
                    pass_values();
                }
                if (wanted) {
#pragma unroll
                    for (int i = 0; i < C::k_dim / 2; ++i) {
                        sums[i] *= rescale[i / 2 % 2];
                    }
                    pack_weights(weights, logits);
                }
            }
            release(shared_.q_empty[q_ring_.slot]);
            if (wanted) {
                wait_values(item, tile, partial(tile));
                ptx::wgmma_fence();
                issue_values(sums, weights);
                ptx::wgmma_wait<0>();
                ptx::hold(sums);
                release_values();
            } else {
                pass_values();
            }
        } else {
            release(shared_.q_empty[q_ring_.slot]);
        }
        q_ring_.advance();
        if (C::k_options && params_.skip_factor > 0 && threadIdx.x % 128 == 0 &&
            first_row() < item.place.packed_rows()) {
            count_skips(params_, tile_end - item.walk.tile_begin, n_skipped_);
        }
        write_rows<k_dim_blocks>(params_, item.place, first_row(), sums, rows_);
    }

    const kernel_params & params_;
    shared_memory<C> & shared_;
    const int warpgroup_;
    row_pair rows_;
    float skip_distance_;  // these two: where options are compiled in
    int n_skipped_;
    ring<k_item_slots> items_;
    ring<C::k_q_buffers> q_ring_;
    ring<k_key_stages> k_ring_;
    ring<k_value_stages> v_ring_;
};

}  // namespace tmx::cuda::sm90
