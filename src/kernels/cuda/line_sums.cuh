// Weights of a few rows along lines: a thread block a slab of keys and 128 packed rows, that is all rows of one or two
// heads of a group. Two kernels made of one: the first finds each row's share of its sum, the second adds weights up.
#pragma once

#include "kernels/cuda/ptx.cuh"
#include "trianglemix/geometry.h"

namespace tmx::cuda {

constexpr int k_line_warps = 4;
constexpr int k_line_threads = k_line_warps * 32;
constexpr int k_line_rows = 128;                           // packed: row m is row m % row_step of head m / row_step
constexpr int k_warp_rows = 32;                            // in two bands of 16
constexpr int k_line_slab = 1024;                          // keys
constexpr int k_slab_slashes = k_line_slab + k_line_rows;  // room for one head's, row_step - 1 + k_line_slab
constexpr int k_line_pad = 24;                             // zeros before a row of weights
constexpr int k_line_row_bytes = 128;  // 64 dims: a panel is [key][64 dims], its 16-byte chunks swizzled by the key

struct line_params {
    const float * q;  // of the first row and head
    const void * k;   // of rank 0 and the first key head
    int64_t q_stride_head, q_stride_row;
    int64_t k_stride_head, k_stride_row;
    int32_t d;
    int32_t n_keys;
    int32_t n_rows;    // of a head
    int32_t row_step;  // 64 or 128, at least n_rows
    int32_t first_rank;
    int32_t n_head, group;
    int32_t n_slabs;
    float scale_log2;  // of the absolute value of the scale; not 0, so that -inf times it is -inf
    float q_sign;
    float2 * parts;    // [head][row_step][slab] largest exponent, and the sum of 2^(exponent - largest)
    float * shifts;    // [head][row_step] what exponents are lowered by, so that weights add up to 1 / n_rows
    float * vertical;  // [head][n_keys]
    float * slashes;   // [head][slab][k_slab_slashes]; number v of a slab is distance far_distance(slab) - v
    float * slash;     // [head][n_keys]

    __device__ int32_t heads_of_block() const { return k_line_rows / row_step; }
    __device__ int32_t far_distance(int32_t slab) const { return first_rank + row_step - 1 - slab * k_line_slab; }
};

template <typename T, int k_dim_>
struct line_config {
    using element = T;
    static constexpr int k_dim = k_dim_;
    static constexpr int k_keys = k_dim <= 64 ? 64 : k_dim <= 128 ? 32 : 16;  // of a tile
    static constexpr int k_blocks = k_dim <= 128 ? 3 : 1;                     // on a multiprocessor at a time
    static constexpr int k_panels = (k_dim + 63) / 64;
    static constexpr int k_steps = k_dim / 16;
    static constexpr int k_tile_bytes = k_panels * k_keys * k_line_row_bytes;
    static constexpr int k_weight_stride = k_keys + k_line_pad;  // stores of a warp meet in no bank
};

template <typename C>
struct line_memory {
    alignas(128) uint8_t k[2][C::k_tile_bytes];
};

template <typename C>
struct line_sum_memory : line_memory<C> {
    // Of one band, with zeros before each row and behind the last: what a diagonal meets outside of the tile.
    float weights[k_line_warps][16 * C::k_weight_stride + k_line_pad];
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
          slab_(blockIdx.x / n_chunks_),
          first_head_(blockIdx.y * p.group + blockIdx.x % n_chunks_ * p.heads_of_block()),
          end_head_(smaller((blockIdx.y + 1) * p.group, first_head_ + p.heads_of_block())),
          head_(first_head_ + warp_ * k_warp_rows / p.row_step),
          warp_row_(warp_ * k_warp_rows % p.row_step) {
        load_queries();
    }

    __device__ void measure() {
        float largest[4];  // product, of which the exponent is scale_log2 times as much
        float sum[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            largest[i] = -INFINITY;
            sum[i] = 0;
        }
        for_each_tile([&](int32_t first_key) {
            float products[2][C::k_keys / 8][4];
            multiply(first_key, products);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                float most = largest[i];
#pragma unroll
                for (int n = 0; n < C::k_keys / 8; ++n) {
                    most = fmaxf(most, fmaxf(products[i / 2][n][i % 2 * 2], products[i / 2][n][i % 2 * 2 + 1]));
                }
                const float shift = most == -INFINITY ? 0.0f : most * p_.scale_log2;
                sum[i] *= ptx::exp2(fmaf(largest[i], p_.scale_log2, -shift));
                largest[i] = most;
#pragma unroll
                for (int n = 0; n < C::k_keys / 8; ++n) {
                    sum[i] += ptx::exp2(fmaf(products[i / 2][n][i % 2 * 2], p_.scale_log2, -shift)) +
                              ptx::exp2(fmaf(products[i / 2][n][i % 2 * 2 + 1], p_.scale_log2, -shift));
                }
            }
        });
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            largest[i] *= p_.scale_log2;
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int step = 1; step < 4; step *= 2) {
                const float other = __shfl_xor_sync(0xffffffff, largest[i], step);
                const float most = fmaxf(largest[i], other);
                const float shift = most == -INFINITY ? 0.0f : most;
                // In this order on both sides: the two lanes' sums are the same number.
                const float own = sum[i] * ptx::exp2(largest[i] - shift);
                sum[i] = own + __shfl_xor_sync(0xffffffff, own, step);
                largest[i] = most;
            }
            if (lane_ % 4 == 0 && head_ < end_head_) {
                p_.parts[(int64_t{head_} * p_.row_step + row(i)) * p_.n_slabs + slab_] =
                    make_float2(largest[i], sum[i]);
            }
        }
    }

    __device__ void add(line_sum_memory<C> & sums) {
        const float * shifts = p_.shifts + smaller(head_, end_head_ - 1) * p_.row_step;
        for (int i = threadIdx.x; i < k_line_warps * (k_line_slab + k_warp_rows); i += k_line_threads) {
            (&sums.slashes[0][0])[i] = 0;
        }
        for (int i = lane_; i < 16 * C::k_weight_stride + k_line_pad; i += 32) {
            sums.weights[warp_][i] = 0;
        }
        __syncwarp();
        int32_t n_tiles = 0;
        for_each_tile([&](int32_t first_key) {
            float weights[2][C::k_keys / 8][4];
            multiply(first_key, weights);
            float shift[4];  // read anew for each tile: registers are short
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                shift[i] = head_ < end_head_ ? shifts[row(i)] : INFINITY;
            }
            float own[C::k_keys / 4] = {};  // columns 8 n + 2 (lane % 4) + {0, 1}, over the thread's rows
#pragma unroll
            for (int n = 0; n < C::k_keys / 8; ++n) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
#pragma unroll
                    for (int j = 0; j < 2; ++j) {
                        float & weight = weights[i / 2][n][i % 2 * 2 + j];
                        weight = ptx::exp2(fmaf(weight, p_.scale_log2, -shift[i]));
                        own[n * 2 + j] += weight;
                    }
                }
            }
            add_columns(own, sums.columns[n_tiles % 2][warp_]);
            if (n_tiles > 0) {  // the other warps' columns are there since this tile's barrier
                write_columns(sums.columns[(n_tiles - 1) % 2], first_key - C::k_keys);
            }
            add_slashes(weights, sums, first_key - slab_ * k_line_slab);
            ++n_tiles;
        });
        __syncthreads();
        write_columns(sums.columns[(n_tiles - 1) % 2], slab_ * k_line_slab + (n_tiles - 1) * C::k_keys);
        write_slashes(sums);
    }

  private:
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

    // Calls work(first key) for the slab's tiles, whose keys then lie in k_[tile % 2].
    template <typename F>
    __device__ void for_each_tile(const F & work) {
        const int32_t begin = slab_ * k_line_slab;
        const int32_t end = smaller(begin + k_line_slab, p_.n_keys);
        copy_keys(begin, 0);
        int buffer = 0;
        for (int32_t key = begin; key < end; key += C::k_keys) {
            ptx::copy_wait<0>();
            __syncthreads();
            if (key + C::k_keys < end) {
                copy_keys(key + C::k_keys, buffer ^ 1);
            }
            tile_ = ptx::shared_address(shared_.k[buffer]);
            work(key);
            buffer ^= 1;
        }
    }

    // Starts copying a tile; keys and dims that do not exist become zeros.
    __device__ void copy_keys(int32_t first_key, int buffer) {
        constexpr int k_chunks = C::k_dim / 8;
        const T * keys = static_cast<const T *>(p_.k) + blockIdx.y * p_.k_stride_head;
        const uint32_t target = ptx::shared_address(shared_.k[buffer]);
#pragma unroll 4
        for (int i = threadIdx.x; i < C::k_keys * k_chunks; i += k_line_threads) {
            const int key = i / k_chunks;
            const int chunk = i % k_chunks;
            const bool valid = first_key + key < p_.n_keys && chunk * 8 < p_.d;
            ptx::copy_16(target + chunk_offset(key, chunk),
                         valid ? keys + (first_key + key) * p_.k_stride_row + chunk * 8 : keys, valid);
        }
        ptx::copy_commit();
    }
    __device__ static uint32_t chunk_offset(int key, int chunk) {
        return ((chunk / 8 * C::k_keys + key) * 8 + ((chunk ^ key) & 7)) * 16;
    }

    // Products of the warp's rows with the tile's keys; -inf where a row does not see a key.
    __device__ void multiply(int32_t first_key, float (&products)[2][C::k_keys / 8][4]) {
#pragma unroll
        for (int band = 0; band < 2; ++band) {
#pragma unroll
            for (int n = 0; n < C::k_keys / 8; ++n) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    products[band][n][i] = 0;
                }
            }
        }
        // The lane's chunk of the first 16 dims; those of the next ones of a panel differ in two bits of the address.
        const uint32_t fragment = tile_ + chunk_offset(lane_ / 16 * 8 + lane_ % 8, lane_ / 8 % 2);
#pragma unroll
        for (int step = 0; step < C::k_steps; ++step) {
#pragma unroll
            for (int n = 0; n < C::k_keys / 8; n += 2) {
                uint32_t keys[4];
                ptx::load_matrices(keys,
                                   (fragment ^ step % 4 * 32) + (step / 4 * C::k_keys + n * 8) * k_line_row_bytes);
#pragma unroll
                for (int band = 0; band < 2; ++band) {
                    ptx::mma<T>(products[band][n], queries_[band][step], keys[0], keys[1]);
                    ptx::mma<T>(products[band][n + 1], queries_[band][step], keys[2], keys[3]);
                }
            }
        }
        if (first_key + C::k_keys <= p_.first_rank + warp_row_ + 1) {
            return;
        }
#pragma unroll
        for (int band = 0; band < 2; ++band) {
#pragma unroll
            for (int n = 0; n < C::k_keys / 8; ++n) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int32_t seen = p_.first_rank + row(band * 2 + i / 2) - first_key;
                    float & product = products[band][n][i];
                    product = n * 8 + lane_ % 4 * 2 + i % 2 > seen ? -INFINITY : product;
                }
            }
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

    // Diagonals of the tile, a band of 16 rows at a time: its weights go through shared memory, and a lane adds up
    // those of one diagonal after the other. `first`: the tile's first key, within the slab.
    __device__ void add_slashes(const float (&weights)[2][C::k_keys / 8][4], line_sum_memory<C> & sums, int32_t first) {
        constexpr int k_diagonals = C::k_keys + 15;
        float * tile = sums.weights[warp_];
        float * own = tile + k_line_pad + lane_ / 4 * C::k_weight_stride + lane_ % 4 * 2;
#pragma unroll
        for (int band = 0; band < 2; ++band) {
            __syncwarp();
#pragma unroll
            for (int n = 0; n < C::k_keys / 8; ++n) {
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    *reinterpret_cast<float2 *>(own + half * 8 * C::k_weight_stride + n * 8) =
                        make_float2(weights[band][n][half * 2], weights[band][n][half * 2 + 1]);
                }
            }
            __syncwarp();
            float * target = sums.slashes[warp_] + first + 16 - band * 16;
#pragma unroll
            for (int begin = 0; begin < k_diagonals; begin += 32) {
                const int diagonal = begin + lane_;
                if (begin + 32 > k_diagonals && diagonal >= k_diagonals) {
                    break;
                }
                const float * column = tile + k_line_pad + diagonal - 15;  // of row 0; one more in each row
                float parts[2] = {0, 0};
#pragma unroll
                for (int r = 0; r < 16; ++r) {
                    parts[r % 2] += column[r * (C::k_weight_stride + 1)];
                }
                target[diagonal] += parts[0] + parts[1];
            }
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

    __device__ void write_slashes(const line_sum_memory<C> & sums) {
        const int32_t warps = p_.row_step / k_warp_rows;
        const int32_t n = p_.row_step - 1 + k_line_slab;
        for (int32_t head = first_head_; head < end_head_; ++head) {
            float * target = p_.slashes + (int64_t{head} * p_.n_slabs + slab_) * k_slab_slashes;
            for (int32_t v = threadIdx.x; v < n; v += k_line_threads) {
                float sum = 0;
                for (int32_t warp = 0; warp < warps; ++warp) {
                    const int32_t u = v - (p_.row_step - k_warp_rows - warp * k_warp_rows);
                    const bool there = u >= 0 && u < k_line_slab + k_warp_rows - 1;
                    sum += there ? sums.slashes[(head - first_head_) * warps + warp][u] : 0.0f;
                }
                target[v] = sum;
            }
        }
    }

    const line_params & p_;
    line_memory<C> & shared_;
    const int lane_;
    const int warp_;
    const int32_t n_chunks_;  // thread blocks for the heads of a group
    const int32_t slab_;
    const int32_t first_head_;  // heads [first_head_, end_head_) of the block
    const int32_t end_head_;
    const int32_t head_;  // of the warp
    const int32_t warp_row_;
    uint32_t queries_[2][C::k_steps][4];
    uint32_t tile_ = 0;
};

}  // namespace tmx::cuda
