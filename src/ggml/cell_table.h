// Which position each cell of one KV cache holds, as far as it was seen, and from that the order of a sequence's keys.
//
// A cell's entry is learned when a prompt row is computed that writes it. Rows that the backend does not compute
// (decode tokens) and restored states change cells unseen, so every entry keeps the first bytes of the key it was
// learned with: an entry whose cell now holds other bytes is dropped as stale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tmx {

// Where the keys lie, to read a few bytes of each. All bytes of [0, n_cells) must be readable.
struct key_probe {
    static constexpr size_t k_bytes = 16;  // 8 f16 values, or the head of the first quantised block

    const std::byte * base = nullptr;  // key of cell 0; null: no probe, entries are never stale
    ptrdiff_t stride_bytes = 0;        // from a cell's key to the next one's

    uint64_t read(int64_t cell) const;
};

class cell_table {
  public:
    void learn(int64_t cell, int32_t position, const key_probe & keys);

    // Cells [first, first + n), so far as there are such, were never seen. REQUIRES first + n does not overflow.
    void forget(int64_t first, int64_t n);

    // Position of a cell, or -1: never seen, or its key has changed since.
    int32_t position(int64_t cell, const key_probe & keys) const;

    // Whether order() would leave cells [first, first + n) as they are: no known position says otherwise.
    bool ascending(int64_t first, int64_t n, const key_probe & keys) const;

    // Orders `visible` (distinct, ascending, counted from cell `first`) by position: the result's element i is the one
    // of position i, counted likewise. Known cells take their place; unknown ones fill the places between in ascending
    // cell order, going on from the cell before them and wrapping around, as llama.cpp hands cells out. With nothing
    // known that is plain ascending order. An empty result for a non-empty input means that two cells claim one place,
    // or a place outside [0, visible.size()).
    std::vector<int32_t> order(std::span<const int32_t> visible, int64_t first, const key_probe & keys) const;

  private:
    struct entry {
        uint64_t key_bits = 0;
        int32_t position = -1;
    };
    std::vector<entry> entries_;  // by cell
};

// The tables of a context's KV caches, by the cache's identity; the oldest is forgotten when there are too many.
class cell_tables {
  public:
    struct known_cache {
        explicit known_cache(const void * identity) : cache(identity) {}

        const void * cache;
        cell_table table;
        uint64_t writes_seen = 0;  // for write_journal::since()
    };
    known_cache & of(const void * cache);

  private:
    std::vector<known_cache> caches_;  // newest last
};

}  // namespace tmx
