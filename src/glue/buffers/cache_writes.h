// What the host does to a key cache past any graph: restored states, copied sequences, cleared caches. On a GPU nothing
// else shows that a cell's key was replaced (the keys cannot be read without waiting).
//
// Nothing here throws into the host: where memory is short, the notes are given up, and everything counts as replaced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "glue/abi.h"
#include "glue/buffers/late_masks.h"

namespace tmx {

// Cells [first, first + n) of a cache were read or replaced.
struct cache_access {
    enum class kind : uint8_t { saved, replaced };
    kind what = kind::replaced;
    int64_t first = 0;
    int64_t n = 0;
    std::vector<uint64_t> keys;  // key_hash of each; empty: not known
};

// Notes about one key cache in a watched buffer, in order, from its making on. It bounds its memory.
// THREADS  The host may use the cache on any thread meanwhile.
class cache_watch {
  public:
    static constexpr size_t k_most_notes = size_t{1} << 18;  // accesses and keys

    // REQUIRES data is allocated. Watches the whole tensor; its views count, too.
    explicit cache_watch(const ggml_tensor * cache);
    ~cache_watch();
    cache_watch(const cache_watch &) = delete;
    cache_watch & operator=(const cache_watch &) = delete;

    // What was noted since the last call. None: notes were given up, so any cell may have been replaced.
    std::optional<std::vector<cache_access>> take();

    // Bytes [begin, end) were read or replaced; `bytes` is what they hold then, null if that is not known.
    void note(cache_access::kind what, const std::byte * begin, const std::byte * end, const void * bytes) noexcept;

  private:
    const std::byte * base_;
    size_t row_bytes_;
    int64_t n_rows_;
    std::mutex mutex_;
    std::vector<cache_access> notes_;
    size_t n_notes_ = 0;
    bool given_up_ = false;
};

// From now on what the host does to key caches in `buffer` is noted by their watches. False: it cannot be (no memory).
// REQUIRES the buffer's backend does not tell its buffers by the functions that read and write; ggml's CUDA backend
// goes by free_buffer alone.
// `patience`: which of the masks written there may wait.
bool watch_cache_writes(ggml_backend_buffer_t buffer, const mask_patience & patience) noexcept;

// A number that no other watched buffer has or had; 0: it is not watched, or null.
uint64_t serial_of(ggml_backend_buffer_t buffer) noexcept;

// The host replaces bytes of a tensor past its buffer's functions, by what `data` holds, null if that is not known; of
// interest if it is a key cache or an input.
void note_host_write(const ggml_tensor * tensor, const void * data, size_t offset, size_t size) noexcept;

}  // namespace tmx
