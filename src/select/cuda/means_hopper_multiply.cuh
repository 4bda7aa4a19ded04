// The warpgroups that multiply: 128 rows of a set each, as two halves of 64. While a half's product is made, the other
// one's is looked at. All chunks pass twice: for the rows' largest logits, then for the weights.
#pragma once

#include "kernels/cuda/sm90/wgmma.cuh"
#include "select/cuda/means_hopper.cuh"

namespace tmx::cuda::hopper {

// Of n values, sums over two threads whose lanes differ by `step`: the lower one gets those of the first half.
template <int n>
__device__ inline void halve(const float (&values)[n], float (&sums)[n / 2], int step) {
    const bool upper = (threadIdx.x & step) != 0;
#pragma unroll
    for (int i = 0; i < n / 2; ++i) {
        const float given = upper ? values[i] : values[i + n / 2];
        sums[i] = (upper ? values[i + n / 2] : values[i]) + __shfl_xor_sync(0xffffffff, given, step);
    }
}

template <typename C>
class scorer {
    using T = typename C::element;
    static constexpr int k_products = k_keys / 2;  // of a thread
    static constexpr int k_steps = C::k_dim / 16;
    static constexpr int k_columns = k_keys / 4;  // of a thread: 8 i + 2 (lane % 4) + {0, 1}

  public:
    __device__ scorer(const score_params & p, shared_memory<C> & shared, int warpgroup)
        : p_(p), shared_(shared), warpgroup_(warpgroup), set_(p) {}

    __device__ void run() {
        while (set_.next()) {
            take_queries();
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                peaks_[half][0] = peaks_[half][1] = -INFINITY;
            }
            pass<false>();
            settle_peaks();
            pass<true>();
        }
    }

  private:
    __device__ static int lane() {
        return static_cast<int>(threadIdx.x) % 32;
    }
    __device__ int warp() const {
        return warpgroup_ * 4 + static_cast<int>(threadIdx.x) % 128 / 32;
    }
    // This thread's row of the set, r = 0 or 1.
    __device__ int row(int half, int r) const {
        return warpgroup_ * 128 + half * 64 + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane() / 4 + r * 8;
    }

    __device__ void release(uint64_t & barrier) {
        __syncwarp();
        if (lane() == 0) {
            ptx::barrier_arrive(barrier);
        }
    }

    // The warp's queries of a set, as left operands: from shared memory, each product would read them again.
    __device__ void take_queries() {
        ptx::barrier_wait(shared_.q_full[q_ring_.slot], q_ring_.parity);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = warpgroup_ * 128 + half * 64 + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane() % 16;
            const uint32_t address = ptx::shared_address(shared_.q[q_ring_.slot]) + row * k_row_bytes;
#pragma unroll
            for (int step = 0; step < k_steps; ++step) {
                const int chunk = step % 4 * 2 + lane() / 16;
                ptx::load_matrices(queries_[half][step],
                                   address + step / 4 * C::k_query_panel_bytes + (chunk ^ (row & 7)) * 16);
            }
        }
        release(shared_.q_empty[q_ring_.slot]);
        q_ring_.advance();
    }

    // Issues the products of a half with the chunk in the current slot.
    __device__ void issue(float (&products)[k_products], int half) {
        const uint64_t k = ptx::matrix_descriptor(ptx::shared_address(shared_.k[k_ring_.slot]), 16);
        ptx::wgmma_fence();
#pragma unroll
        for (int step = 0; step < k_steps; ++step) {
            ptx::wgmma<T, k_keys>::rs_rows(products, queries_[half][step],
                                           ptx::advance(k, step / 4 * C::k_key_panel_bytes + step % 4 * 32), step != 0);
        }
        ptx::wgmma_commit();
    }

    // While one product is looked at the next one is made, over the end of a chunk, too.
    template <bool k_weigh>
    __device__ void pass() {
        const int32_t n_chunks = set_.n_chunks();
        int32_t end = set_.tile().n_scored;  // of the columns, counted from the chunk's first
        float first[k_products];
        float second[k_products];
        wait_for_keys();
        issue(first, 0);
        for (int32_t chunk = 1; chunk < n_chunks; ++chunk) {
            float sums[k_columns] = {};
            ptx::wgmma_wait<0>();
            ptx::hold(first);
            issue(second, 1);
            look_at<k_weigh>(first, 0, end, sums);
            ptx::wgmma_wait<0>();
            ptx::hold(second);
            release(shared_.k_empty[k_ring_.slot]);
            k_ring_.advance();
            wait_for_keys();
            issue(first, 0);
            look_at<k_weigh>(second, 1, end, sums);
            finish<k_weigh>(sums);
            end -= k_keys;
        }
        float sums[k_columns] = {};
        ptx::wgmma_wait<0>();
        ptx::hold(first);
        issue(second, 1);
        look_at<k_weigh>(first, 0, end, sums);
        ptx::wgmma_wait<0>();
        ptx::hold(second);
        release(shared_.k_empty[k_ring_.slot]);
        k_ring_.advance();
        look_at<k_weigh>(second, 1, end, sums);
        finish<k_weigh>(sums);
    }
    __device__ void wait_for_keys() {
        ptx::barrier_wait(shared_.k_full[k_ring_.slot], k_ring_.parity);
    }
    template <bool k_weigh>
    __device__ void finish(const float (&sums)[k_columns]) {
        if constexpr (k_weigh) {
            store(sums);
        }
    }

    // Of a chunk, the columns before `end` are blocks to score; what the others sum to nobody reads.
    template <bool k_weigh>
    __device__ void look_at(const float (&products)[k_products], int half, int32_t end, float (&sums)[k_columns]) {
        if constexpr (k_weigh) {
#pragma unroll
            for (int i = 0; i < k_products; ++i) {
                sums[i / 4 * 2 + i % 2] += ptx::exp2(fmaf(products[i], p_.scale_log2, peaks_[half][i % 4 / 2]));
            }
        } else if (end >= k_keys) {
#pragma unroll
            for (int i = 0; i < k_products; ++i) {
                float & peak = peaks_[half][i % 4 / 2];
                peak = fmaxf(peak, products[i]);
            }
        } else {
#pragma unroll
            for (int i = 0; i < k_products; ++i) {
                const bool scored = i / 4 * 8 + lane() % 4 * 2 + i % 2 < end;
                float & peak = peaks_[half][i % 4 / 2];
                peak = fmaxf(peak, scored ? products[i] : -INFINITY);
            }
        }
    }

    // From the largest products to what is added to logits: rows that do not exist get weights of 0.
    __device__ void settle_peaks() {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                float & peak = peaks_[half][r];
                peak = fmaxf(peak, __shfl_xor_sync(0xffffffff, peak, 1));
                peak = fmaxf(peak, __shfl_xor_sync(0xffffffff, peak, 2)) * p_.scale_log2;
            }
        }
        if (p_.one_peak) {
            find_tile_peak();
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const float peak = p_.one_peak ? tile_peak_ : peaks_[half][r];
                peaks_[half][r] = set_.exists(row(half, r)) ? -peak : -INFINITY;
            }
        }
    }
    // The largest of all rows so far.
    __device__ void find_tile_peak() {
        constexpr int k_barrier = 1;
        const float before = set_.first_of_tile() ? -INFINITY : tile_peak_;
        float peak = -INFINITY;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                peak = set_.exists(row(half, r)) ? fmaxf(peak, peaks_[half][r]) : peak;
            }
        }
#pragma unroll
        for (int step = 16; step > 0; step /= 2) {
            peak = fmaxf(peak, __shfl_xor_sync(0xffffffff, peak, step));
        }
        if (lane() == 0) {
            shared_.peaks[warp()] = peak;
        }
        ptx::named_sync(k_barrier, 128 * k_consumers);
        tile_peak_ = before;
#pragma unroll
        for (int i = 0; i < k_consumer_warps; ++i) {
            tile_peak_ = fmaxf(tile_peak_, shared_.peaks[i]);
        }
        ptx::named_sync(k_barrier, 128 * k_consumers);  // they have been read
        rescale_ = set_.first_of_tile() ? 1.0f : ptx::exp2(before - tile_peak_);
    }

    // The sums of a chunk over the warp's rows, three columns of them a thread's.
    __device__ void store(const float (&sums)[k_columns]) {
        float twelve[k_columns / 2];
        float six[k_columns / 4];
        float three[k_columns / 8];
        halve(sums, twelve, 4);
        halve(twelve, six, 8);
        halve(six, three, 16);
        const int first = (lane() & 4) / 4 * 12 + (lane() & 8) / 8 * 6 + (lane() & 16) / 16 * 3;
        chunk_sums & target = shared_.sums[sum_ring_.slot];
        ptx::barrier_wait(shared_.sums_empty[sum_ring_.slot], sum_ring_.parity ^ 1);
#pragma unroll
        for (int i = 0; i < k_columns / 8; ++i) {
            const int own = first + i;
            target.sums[warp()][own / 2 * 8 + lane() % 4 * 2 + own % 2] = three[i];
        }
        if (warp() == 0 && lane() == 0) {
            target.rescale = rescale_;
        }
        release(shared_.sums_full[sum_ring_.slot]);
        sum_ring_.advance();
    }

    const score_params & p_;
    shared_memory<C> & shared_;
    const int warpgroup_;
    set_walk set_;
    sm90::ring<k_query_buffers> q_ring_;
    sm90::ring<k_key_stages> k_ring_;
    sm90::ring<k_sum_slots> sum_ring_;
    uint32_t queries_[2][k_steps][4];  // [half]
    float peaks_[2][2];                // [half][r]
    float tile_peak_ = 0;              // with score_params::one_peak: the largest logit so far
    float rescale_ = 1.0f;             // what the scores of earlier sets must be multiplied by
};

}  // namespace tmx::cuda::hopper
