// Weights of a few rows along lines: a thread block some slabs of keys and 128 packed rows, that is all rows of one or
// two heads of a group. Two kernels made of one: the first finds each row's share of its sum, the second adds weights
// up.
#pragma once

#include "kernels/cuda/line_sums.h"
#include "kernels/cuda/ptx.cuh"

namespace tmx::cuda {

constexpr int k_line_warps = 4;
constexpr int k_line_threads = k_line_warps * 32;
constexpr int k_warp_rows = 32;        // in two bands of 16
constexpr int k_line_pad = 8;          // zeros before the first row of summed weights
constexpr int k_line_stages = 3;       // tiles of keys on their way or in use
constexpr int k_line_row_bytes = 128;  // 64 dims: a panel is [key][64 dims], its 16-byte chunks swizzled by the key

// Sizes of what a thread block works at. A configuration C adds how it multiplies:
//   k_align                             of its shared memory
//   publish_copies()                    by every thread, between its own copies and a barrier: products may read them
//   multiply(tile, queries, products)   by the whole block: starts the products of a warp's rows with the keys at this
//                                       shared address
//   finish(band, products)              waits for those of band 0, then of band 1
template <typename T, int k_dim_, int k_keys_>
struct line_sizes {
    using element = T;
    static constexpr int k_dim = k_dim_;
    static constexpr int k_keys = k_keys_;                 // of a tile
    static constexpr int k_blocks = k_dim <= 128 ? 3 : 1;  // on a multiprocessor at a time
    static constexpr int k_panels = (k_dim + 63) / 64;
    static constexpr int k_steps = k_dim / 16;
    static constexpr int k_tile_bytes = k_panels * k_keys * k_line_row_bytes;
    static constexpr int k_columns = k_keys + k_warp_rows - 8;  // of summed weights
    static constexpr int k_weight_stride = k_columns + 16;  // zeros behind each row; stores of a warp meet in no bank
    using queries = uint32_t[2][k_steps][4];                // a band's left operands
    using products = float[2][k_keys / 2];  // of each band, [8 keys][4] as the matrix instructions leave them
};

template <typename C>
struct line_memory {
    alignas(C::k_align) uint8_t k[k_line_stages][C::k_tile_bytes];
};

template <typename C>
struct line_sum_memory : line_memory<C> {
    // With zeros around each row: what a diagonal meets outside of the tile.
    float weights[k_line_warps][k_line_pad + 8 * C::k_weight_stride];
    float slashes[k_line_warps][k_line_slab + k_warp_rows];  // number u is of key - row = u - 31, within slab and warp
    float columns[2][k_line_warps][C::k_keys];
};

template <typename C>
class line_block {
    using T = typename C::element;

  public:
    __device__ line_block(const line_params & p, line_memory<C> & shared)
        : p_(p),
          shared_(shared),
          lane_(threadIdx.x % 32),
          warp_(threadIdx.x / 32),
          n_chunks_((p.group + p.heads_of_block() - 1) / p.heads_of_block()),
          first_slab_(part(blockIdx.x / n_chunks_)),
          end_slab_(part(blockIdx.x / n_chunks_ + 1)),
          first_head_(blockIdx.y * p.group + blockIdx.x % n_chunks_ * p.heads_of_block()),
          end_head_(smaller((blockIdx.y + 1) * p.group, first_head_ + p.heads_of_block())),
          head_(first_head_ + warp_ * k_warp_rows / p.row_step),
          warp_row_(warp_ * k_warp_rows % p.row_step) {
        load_queries();
    }

    __device__ void measure() {
        float largest[4];  // product, of which the exponent is scale_log2 times as much
        float sum[4];
        for_each_tile([&](int32_t first_key, typename C::products & products) {
            if (first_key % k_line_slab == 0) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    largest[i] = -INFINITY;
                    sum[i] = 0;
                }
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                if (i % 2 == 0) {
                    finish(i / 2, first_key, products);
                }
                float most = largest[i];
#pragma unroll
                for (int n = 0; n < C::k_keys / 8; ++n) {
                    most =
                        fmaxf(most, fmaxf(products[i / 2][n * 4 + i % 2 * 2], products[i / 2][n * 4 + i % 2 * 2 + 1]));
                }
                const float shift = most == -INFINITY ? 0.0f : most * p_.scale_log2;
                sum[i] *= ptx::exp2(fmaf(largest[i], p_.scale_log2, -shift));
                largest[i] = most;
#pragma unroll
                for (int n = 0; n < C::k_keys / 8; ++n) {
                    sum[i] += ptx::exp2(fmaf(products[i / 2][n * 4 + i % 2 * 2], p_.scale_log2, -shift)) +
                              ptx::exp2(fmaf(products[i / 2][n * 4 + i % 2 * 2 + 1], p_.scale_log2, -shift));
                }
            }
            if (ends_slab(first_key)) {
                write_parts(largest, sum, first_key / k_line_slab);
            }
        });
    }

    __device__ void add(line_sum_memory<C> & sums) {
        const float * shifts = p_.shifts + smaller(head_, end_head_ - 1) * p_.row_step;
        for (int i = threadIdx.x; i < k_line_warps * (k_line_slab + k_warp_rows); i += k_line_threads) {
            (&sums.slashes[0][0])[i] = 0;
        }
        for (int i = lane_; i < k_line_pad + 8 * C::k_weight_stride; i += 32) {
            sums.weights[warp_][i] = 0;
        }
        __syncwarp();
        int32_t n_tiles = 0;
        for_each_tile([&](int32_t first_key, typename C::products & weights) {
            float shift[4];  // read anew for each tile: registers are short
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                shift[i] = head_ < end_head_ ? shifts[row(i)] : INFINITY;
            }
            float own[C::k_keys / 4] = {};  // columns 8 n + 2 (lane % 4) + {0, 1}, over the thread's rows
#pragma unroll
            for (int band = 0; band < 2; ++band) {
                finish(band, first_key, weights);
#pragma unroll
                for (int i = 0; i < C::k_keys / 2; ++i) {
                    float & weight = weights[band][i];
                    weight = ptx::exp2(fmaf(weight, p_.scale_log2, -shift[band * 2 + i % 4 / 2]));
                    own[i / 4 * 2 + i % 2] += weight;
                }
            }
            add_columns(own, sums.columns[n_tiles % 2][warp_]);
            if (n_tiles > 0) {  // the other warps' columns are there since this tile's barrier
                write_columns(sums.columns[(n_tiles - 1) % 2], first_key - C::k_keys);
            }
            add_slashes(weights, sums, first_key % k_line_slab);
            ++n_tiles;
            if (ends_slab(first_key)) {
                __syncthreads();
                take_slashes(sums, first_key / k_line_slab);
            }
        });
        write_columns(sums.columns[(n_tiles - 1) % 2], first_slab_ * k_line_slab + (n_tiles - 1) * C::k_keys);
    }

  private:
    // The first slab of a thread block's, of those that go through all of them side by side.
    __device__ int32_t part(int32_t number) const {
        return static_cast<int32_t>(int64_t{p_.n_slabs} * number / (gridDim.x / n_chunks_));
    }
    // Whether the tile from this key on is the last one of its slab.
    __device__ bool ends_slab(int32_t first_key) const {
        return (first_key + C::k_keys) % k_line_slab == 0 || first_key + C::k_keys >= p_.n_keys;
    }

    // Row of the head that number i of a thread's four rows is.
    __device__ int32_t row(int i) const {
        return warp_row_ + i / 2 * 16 + i % 2 * 8 + lane_ / 4;
    }

    // The warp's queries, as the left operand of its products, for as long as the block lives.
    __device__ void load_queries() {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const bool exists = head_ < end_head_ && row(i) < p_.n_rows;
            const float * q = p_.q + head_ * p_.q_stride_head + row(i) * p_.q_stride_row + lane_ % 4 * 2;
#pragma unroll
            for (int step = 0; step < C::k_steps; ++step) {
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const int dim = step * 16 + half * 8;
                    const bool there = exists && dim < p_.d;
                    const float low = there ? q[dim] : 0.0f;
                    const float high = there ? q[dim + 1] : 0.0f;
                    queries_[i / 2][step][half * 2 + i % 2] = ptx::pack<T>(low * p_.q_sign, high * p_.q_sign);
                }
            }
            asm volatile("" ::: "memory");  // loads of all rows at a time would need more registers than there are
        }
    }

    // Calls work(first key, products) for the tiles of all slabs, when their products have been started: finish() waits
    // for them. Under these the tile after the next one is asked for.
    template <typename F>
    __device__ void for_each_tile(const F & work) {
        const int32_t end = smaller(end_slab_ * k_line_slab, p_.n_keys);
        int32_t next_key = first_slab_ * k_line_slab;  // of the next tile to copy
        int next_stage = 0;
        const auto copy_next = [&] {
            if (next_key < end) {
                copy_keys(next_key, next_stage);
            }
            ptx::copy_commit();
            next_key += C::k_keys;
            next_stage = next_stage + 1 == k_line_stages ? 0 : next_stage + 1;
        };
        for (int i = 0; i < k_line_stages - 1; ++i) {
            copy_next();
        }
        int stage = 0;
        for (int32_t key = first_slab_ * k_line_slab; key < end; key += C::k_keys) {
            ptx::copy_wait<k_line_stages - 2>();
            C::publish_copies();
            __syncthreads();  // all have the tile, and are done with the one before
            typename C::products products;
            C::multiply(ptx::shared_address(shared_.k[stage]), queries_, products);
            copy_next();
            work(key, products);
            stage = stage + 1 == k_line_stages ? 0 : stage + 1;
        }
    }

    // Starts copying a tile; keys and dims that do not exist become zeros. A thread has the same chunk of every
    // k_step-th key: all but the first one's addresses are a sum.
    __device__ void copy_keys(int32_t first_key, int stage) {
        constexpr int k_chunks = C::k_dim / 8;
        constexpr int k_step = k_line_threads / k_chunks;
        static_assert(C::k_keys % k_step == 0);
        const int chunk = static_cast<int>(threadIdx.x % k_chunks);
        const int first = static_cast<int>(threadIdx.x / k_chunks);
        const T * source = static_cast<const T *>(p_.k) + blockIdx.y * p_.k_stride_head +
                           (first_key + first) * p_.k_stride_row + chunk * 8;
        const uint32_t target = ptx::shared_address(shared_.k[stage]);
#pragma unroll
        for (int key = 0; key < C::k_keys; key += k_step) {
            const bool valid = first_key + first + key < p_.n_keys && chunk * 8 < p_.d;
            ptx::copy_16(target + chunk_offset(first + key % 8, chunk) + key / 8 * 8 * k_line_row_bytes,
                         source + key * p_.k_stride_row, valid);
        }
    }
    __device__ static uint32_t chunk_offset(int key, int chunk) {
        return ((chunk / 8 * C::k_keys + key) * 8 + ((chunk ^ key) & 7)) * 16;
    }

    // Waits for the products of a band of the warp's rows with the tile's keys; -inf where a row does not see a key.
    __device__ void finish(int band, int32_t first_key, typename C::products & products) {
        C::finish(band, products);
        if (first_key + C::k_keys <= p_.first_rank + warp_row_ + 1) {
            return;
        }
#pragma unroll
        for (int i = 0; i < C::k_keys / 2; ++i) {
            const int32_t seen = p_.first_rank + row(band * 2 + i % 4 / 2) - first_key;
            float & product = products[band][i];
            product = i / 4 * 8 + lane_ % 4 * 2 + i % 2 > seen ? -INFINITY : product;
        }
    }

    // Of n values, sums over two threads whose lanes differ by `step`: the lower one gets those of the first half.
    template <int n>
    __device__ void halve(const float (&values)[n], float (&sums)[n / 2], int step) {
        const bool upper = (lane_ & step) != 0;
#pragma unroll
        for (int i = 0; i < n / 2; ++i) {
            const float given = upper ? values[i] : values[i + n / 2];
            sums[i] = (upper ? values[i + n / 2] : values[i]) + __shfl_xor_sync(0xffffffff, given, step);
        }
    }
    // The sums of a tile's columns over the warp's rows, from those over each thread's.
    __device__ void add_columns(const float (&own)[C::k_keys / 4], float (&columns)[C::k_keys]) {
        constexpr int k_left = C::k_keys / 16;  // columns of a thread, then, that it shares with one other
        float half[C::k_keys / 8];
        float left[k_left];
        halve(own, half, 4);
        halve(half, left, 8);
        const int first = (lane_ & 4) / 4 * k_left * 2 + (lane_ & 8) / 8 * k_left;
#pragma unroll
        for (int i = 0; i < k_left; ++i) {
            const int number = first + i;
            columns[number / 2 * 8 + lane_ % 4 * 2 + number % 2] = left[i] + __shfl_xor_sync(0xffffffff, left[i], 16);
        }
    }

    // Diagonals of the tile. A weight 8 rows further down and 8 keys further on lies on the same one, and in the same
    // thread, so the warp's 32 rows are added up to 8, of k_columns keys from 24 before the tile's first on. These go
    // through shared memory, and a lane adds up one diagonal after the other. `first`: the tile's first key, within the
    // slab.
    __device__ void add_slashes(const typename C::products & weights, line_sum_memory<C> & sums, int32_t first) {
        constexpr int k_diagonals = C::k_keys + k_warp_rows - 1;
        constexpr int k_fourths = k_warp_rows / 8;
        float * tile = sums.weights[warp_] + k_line_pad;
        float * own = tile + lane_ / 4 * C::k_weight_stride + lane_ % 4 * 2;
        __syncwarp();
#pragma unroll
        for (int column = 0; column < C::k_columns / 8; ++column) {
            float2 sum = make_float2(0, 0);
#pragma unroll
            for (int i = 0; i < k_fourths; ++i) {  // rows 8 i + lane_ / 4
                const int n = column - (k_fourths - 1) + i;
                if (n >= 0 && n < C::k_keys / 8) {
                    sum.x += weights[i / 2][n * 4 + i % 2 * 2];
                    sum.y += weights[i / 2][n * 4 + i % 2 * 2 + 1];
                }
            }
            *reinterpret_cast<float2 *>(own + column * 8) = sum;
        }
        __syncwarp();
        float * target = sums.slashes[warp_] + first;
#pragma unroll
        for (int begin = 0; begin < k_diagonals; begin += 32) {
            const int diagonal = begin + lane_;  // of key - row = diagonal - 31
            if (begin + 32 > k_diagonals && diagonal >= k_diagonals) {
                break;
            }
            const float * column = tile + diagonal - 7;  // of row 0; one more in each row
            float parts[2] = {0, 0};
#pragma unroll
            for (int r = 0; r < 8; ++r) {
                parts[r % 2] += column[r * (C::k_weight_stride + 1)];
            }
            target[diagonal] += parts[0] + parts[1];
        }
    }

    // Verticals of a tile, from all warps of a head.
    __device__ void write_columns(const float (&columns)[k_line_warps][C::k_keys], int32_t first_key) {
        const int32_t warps = p_.row_step / k_warp_rows;  // of a head
        for (int i = threadIdx.x; i < p_.heads_of_block() * C::k_keys; i += k_line_threads) {
            const int32_t number = i / C::k_keys;
            const int32_t key = first_key + i % C::k_keys;
            float sum = 0;
            for (int32_t warp = number * warps; warp < (number + 1) * warps; ++warp) {
                sum += columns[warp][i % C::k_keys];
            }
            if (first_head_ + number < end_head_ && key < p_.n_keys) {
                p_.vertical[int64_t{first_head_ + number} * p_.n_keys + key] = sum;
            }
        }
    }

    // Slashes of a slab, from all warps of a head. What is taken leaves zeros for the next slab.
    __device__ void take_slashes(line_sum_memory<C> & sums, int32_t slab) {
        const int32_t warps = p_.row_step / k_warp_rows;
        const int32_t n = p_.row_step - 1 + k_line_slab;
        for (int32_t head = first_head_; head < end_head_; ++head) {
            float * target = p_.slashes + (int64_t{head} * p_.n_slabs + slab) * k_slab_slashes;
            for (int32_t v = threadIdx.x; v < n; v += k_line_threads) {
                float sum = 0;
                for (int32_t warp = 0; warp < warps; ++warp) {
                    const int32_t u = v - (p_.row_step - k_warp_rows - warp * k_warp_rows);
                    if (u >= 0 && u < k_line_slab + k_warp_rows - 1) {
                        float & part = sums.slashes[(head - first_head_) * warps + warp][u];
                        sum += part;
                        part = 0;
                    }
                }
                target[v] = sum;
            }
        }
    }

    // Of a slab, what the four rows of each thread's lanes have found.
    __device__ void write_parts(const float (&largest_product)[4], const float (&sum)[4], int32_t slab) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            float largest = largest_product[i] * p_.scale_log2;
            float joined = sum[i];
#pragma unroll
            for (int step = 1; step < 4; step *= 2) {
                const float other = __shfl_xor_sync(0xffffffff, largest, step);
                const float most = fmaxf(largest, other);
                const float shift = most == -INFINITY ? 0.0f : most;
                // In this order on both sides: the two lanes' sums are the same number.
                const float own = joined * ptx::exp2(largest - shift);
                joined = own + __shfl_xor_sync(0xffffffff, own, step);
                largest = most;
            }
            if (lane_ % 4 == 0 && head_ < end_head_) {
                p_.parts[(int64_t{head_} * p_.row_step + row(i)) * p_.n_slabs + slab] = make_float2(largest, joined);
            }
        }
    }

    const line_params & p_;
    line_memory<C> & shared_;
    const int lane_;
    const int warp_;
    const int32_t n_chunks_;    // thread blocks for the heads of a group
    const int32_t first_slab_;  // slabs [first_slab_, end_slab_) of the block
    const int32_t end_slab_;
    const int32_t first_head_;  // heads [first_head_, end_head_) of the block
    const int32_t end_head_;
    const int32_t head_;  // of the warp
    const int32_t warp_row_;
    typename C::queries queries_;
};

}  // namespace tmx::cuda
