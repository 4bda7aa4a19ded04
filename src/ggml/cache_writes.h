// Keys that the host writes into a cache itself, past any graph: restored states, copied sequences, cleared caches. On
// a GPU nothing else shows that a cell's key was replaced (the keys cannot be read without waiting).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "ggml/abi.h"

namespace tmx {

struct byte_range {
    const std::byte * begin = nullptr;
    const std::byte * end = nullptr;
};

// Addresses in the order in which they were written. It bounds its memory: the oldest are dropped.
class write_journal {
  public:
    static constexpr size_t k_most_ranges = size_t{1} << 14;

    void wrote(byte_range range);

    // The part of each write to `of` since `seen`, which becomes now. Writes that were dropped may have been anywhere:
    // then all of `of`. A reader begins with `seen` = 0.
    std::vector<byte_range> since(uint64_t & seen, byte_range of);

  private:
    std::mutex mutex_;
    std::deque<byte_range> ranges_;
    uint64_t n_dropped_ = 0;
    uint64_t n_read_ = 0;  // what somebody has seen must not grow
};

// Of all watched buffers. Never destroyed: buffers may be freed at the very end of the process.
write_journal & cache_writes();

// From now on the host's writes to key caches in `buffer` (tensors named cache_k_l<layer>, and views of them), and its
// clearing, are in cache_writes().
// REQUIRES the buffer's backend does not tell its buffers by the functions that write; ggml's CUDA backend goes by
// free_buffer alone.
void watch_cache_writes(ggml_backend_buffer_t buffer);

}  // namespace tmx
