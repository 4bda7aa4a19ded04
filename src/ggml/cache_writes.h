// Keys that the host writes into a cache itself, past any graph: restored states, copied sequences, cleared caches. On
// a GPU nothing else shows that a cell's key was replaced (the keys cannot be read without waiting).
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "ggml/abi.h"

namespace tmx {

struct byte_range {
    const std::byte * begin = nullptr;
    const std::byte * end = nullptr;
};

// Addresses in the order in which they were written. All of its memory is there from the start, so that noting a write
// cannot fail: when that is full, the oldest are dropped.
class write_journal {
  public:
    static constexpr size_t k_most_ranges = size_t{1} << 14;

    write_journal() : ranges_(k_most_ranges) {}

    void wrote(byte_range range) noexcept;

    // The part of each write to `of` since `seen`, which becomes now. Writes that were dropped may have been anywhere:
    // then all of `of`. A reader begins with `seen` = 0. If it throws, nothing counts as seen.
    std::vector<byte_range> since(uint64_t & seen, byte_range of);

  private:
    byte_range & at(uint64_t write) { return ranges_[static_cast<size_t>(write % k_most_ranges)]; }

    std::mutex mutex_;
    std::vector<byte_range> ranges_;  // write i at i modulo its size
    uint64_t n_written_ = 0;
    uint64_t n_read_ = 0;  // what somebody has seen must not grow
};

// Of all watched buffers. Never destroyed: buffers may be freed at the very end of the process.
write_journal & cache_writes();

// From now on the host's writes to key caches in `buffer` (tensors named cache_k_l<layer>, and views of them), and its
// clearing, are in cache_writes(). Throws if there is no memory for that; the buffer is then as it was.
// REQUIRES the buffer's backend does not tell its buffers by the functions that write; ggml's CUDA backend goes by
// free_buffer alone.
void watch_cache_writes(ggml_backend_buffer_t buffer);

}  // namespace tmx
