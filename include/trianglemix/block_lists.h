// trianglemix/block_lists.h -- blocks of keys, listed one by one: what a segment's rows keep where no band says it. The
// CPU and the CUDA kernels take the same lists.
#pragma once

#include <cstdint>
#include <vector>

#include "trianglemix/block_bitmap.h"

namespace tmx {

// For every stretch of `list_rows` rows of a segment, the blocks of keys that its rows visit. Row i of the segment
// keeps key j iff j <= rank of i and some block of its list holds j; the segment's `kept` and the call's dense_head are
// ignored. Non-owning; HOST memory on every device.
struct block_lists {
    int64_t block_keys = 64;          // keys of a block; a power of two, at least k_least_block_keys. Blocks start at
                                      // any rank, and may reach behind the last key
    int64_t list_rows = 128;          // rows of a list; list t holds rows [t * list_rows, (t + 1) * list_rows) of the
                                      // segment
    bool per_query_head = false;      // lists for every query head, else for every key head (its group shares them)
    const int64_t * begin = nullptr;  // [heads * lists + 1] list of (head, t) is first_rank[begin[h * lists + t], ...);
                                      // null: the segment keeps what its band keeps
    const int32_t * first_rank = nullptr;  // rank of each block's first key; ascending and disjoint in a list
};

constexpr int64_t k_least_block_keys = 16;

// How many lists the rows of a segment have, of one head.
constexpr int64_t lists_of(const block_lists & lists, int64_t n_rows) {
    return n_rows / lists.list_rows + (n_rows % lists.list_rows != 0 ? 1 : 0);
}

// From bits to lists: what selection found, as the CPU's attention takes it. (On a GPU a kernel does this on the
// device, see cuda_attention.h.) Holds the lists' memory.
class listed_bits {
  public:
    // `bits` of every query head if per_query_head, else of every key head (join_groups()).
    listed_bits(const block_bitmap & bits, bool per_query_head);
    listed_bits(listed_bits &&) = default;
    listed_bits & operator=(listed_bits &&) = default;

    const block_lists & lists() const { return lists_; }

  private:
    std::vector<int64_t> begin_;
    std::vector<int32_t> first_rank_;
    block_lists lists_;
};

}  // namespace tmx
