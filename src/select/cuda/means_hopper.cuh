// What the warps of means_hopper.cu share: sizes, shared memory, the sets that a block goes through.
#pragma once

#include <cuda.h>

#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/sm90/config.cuh"
#include "select/cuda/means_tile.cuh"

namespace tmx::cuda::hopper {

constexpr int k_set_rows = 256;  // packed rows: row 128 h + i is row i of the group's head h
constexpr int k_keys = 96;       // mean keys of a chunk
constexpr int k_consumers = 2;   // warpgroups that multiply, two halves of 64 rows each
constexpr int k_producers = 2;   // warpgroups that fetch
constexpr int k_consumer_warps = 4 * k_consumers;
constexpr int k_loader_warps = 4 * k_producers - 2;  // that convert queries; of the others one copies, one adds scores
constexpr int k_threads = 128 * (k_consumers + k_producers);
constexpr int k_producer_registers = 64;
constexpr int k_consumer_registers = 192;
constexpr int k_key_stages = 3;
constexpr int k_query_buffers = 2;  // the next set's queries come while this one's are used
constexpr int k_sum_slots = 3;
constexpr int k_row_bytes = sm90::k_row_bytes;

template <typename T, int k_dim_>
struct config {
    using element = T;
    static constexpr int k_dim = k_dim_;
    static constexpr int k_panels = k_dim / sm90::k_panel_dims;
    static constexpr int k_query_panel_bytes = k_set_rows * k_row_bytes;
    static constexpr int k_key_panel_bytes = k_keys * k_row_bytes;
    static constexpr int k_chunk_bytes = k_panels * k_key_panel_bytes;
};

// What the warps' rows add to the scores of a chunk.
struct chunk_sums {
    float sums[k_consumer_warps][k_keys];
    float rescale;  // what the scores of earlier sets must be multiplied by
};

template <typename C>
struct alignas(1024) shared_memory {
    uint8_t q[k_query_buffers][C::k_panels * C::k_query_panel_bytes];  // [panel][row][64 dims], swizzled
    uint8_t k[k_key_stages][C::k_chunk_bytes];                         // [panel][key][64 dims]
    chunk_sums sums[k_sum_slots];
    float peaks[k_consumer_warps];
    uint64_t q_full[k_query_buffers], q_empty[k_query_buffers];
    uint64_t k_full[k_key_stages], k_empty[k_key_stages];
    uint64_t sums_full[k_sum_slots], sums_empty[k_sum_slots];
};

// The sets of a block, one after the other, for all of its warps alike: k_set_rows packed rows of a tile at a time.
// Tiles are taken from both ends by turns: products of one with many blocks go on while queries of one with few are
// fetched, whose products would not take as long as that.
class set_walk {
  public:
    __device__ explicit set_walk(const score_params & p) : p_(p) {}

    // False: there is no further one.
    __device__ bool next() {
        const int32_t n_rows = p_.group * static_cast<int32_t>(k_bitmap_rows);
        first_row_ += k_set_rows;
        if (first_row_ < n_rows && tile_.n_scored > 0) {
            return true;
        }
        first_row_ = 0;
        const int64_t n_tiles = p_.part.n_heads * p_.part.n_tiles;
        for (; round_ * gridDim.x + blockIdx.x < n_tiles; ++round_) {
            const int64_t number = round_ / 2 * gridDim.x + blockIdx.x;
            tile_ = tile_of(p_, round_ % 2 == 0 ? number : n_tiles - 1 - number);
            if (tile_.n_scored > 0) {
                ++round_;
                return true;
            }
        }
        return false;
    }
    __device__ const scored_tile & tile() const { return tile_; }
    __device__ bool first_of_tile() const { return first_row_ == 0; }
    __device__ int32_t n_chunks() const { return (tile_.n_scored + k_keys - 1) / k_keys; }

    // Of a row of the set: whether there is such a row, and its query.
    __device__ bool exists(int32_t row) const {
        return packed(row) < static_cast<uint32_t>(p_.group) * k_rows &&
               packed(row) % k_rows < static_cast<uint32_t>(tile_.n_rows);
    }
    __device__ const float * query(int32_t row) const {
        return tile_.queries + packed(row) / k_rows * p_.queries.stride_head +
               packed(row) % k_rows * p_.queries.stride_row;
    }

  private:
    static constexpr auto k_rows = static_cast<uint32_t>(k_bitmap_rows);
    __device__ uint32_t packed(int32_t row) const { return static_cast<uint32_t>(first_row_ + row); }

    const score_params & p_;
    int64_t round_ = 0;
    scored_tile tile_{};
    int32_t first_row_ = 0;
};

}  // namespace tmx::cuda::hopper
