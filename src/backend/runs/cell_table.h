// Which position each cell of one KV cache holds, as far as that is certain, and from it the order of a sequence's
// keys. Nothing is guessed: a cell whose position is not known is unknown.
//
// A position is learned when an evaluation that writes the cell is seen, whoever computes its attention. Hosts write
// keys past any evaluation, too (restored states, shifted positions). Where keys can be read, an entry keeps what its
// key was when it was learned, and counts only while the cell holds the same; elsewhere the writes are reported
// (cache_writes.h). A key that comes back, as of a saved conversation, is known by what it is: keys hold their position
// through RoPE, so equal ones stand at equal positions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace tmx {

// What a key is known by: a hash of its first bytes. Equal for equal keys; two keys that RoPE turned by different
// positions differ in any 32 elements.
uint64_t key_hash(const std::byte * key, size_t row_bytes);

// Where the keys lie, to read the beginning of each. All bytes of [0, n_cells) must be readable.
struct key_probe {
    const std::byte * base = nullptr;  // key of cell 0; null: keys cannot be read
    ptrdiff_t stride_bytes = 0;        // from a cell's key to the next one's
    bool rotary = false;               // keys went through RoPE: equal ones stand at equal positions

    bool readable() const { return base != nullptr; }
    uint64_t read(int64_t cell) const {
        return key_hash(base + cell * stride_bytes, static_cast<size_t>(stride_bytes));
    }
};

// Positions by key hash. It bounds its memory: what was not seen for long is dropped.
class known_keys {
  public:
    static constexpr size_t k_most = size_t{1} << 18;  // twice, at about 40 bytes each

    void remember(uint64_t key, int32_t position);
    int32_t position(uint64_t key) const;  // -1: unknown, or the key stood at several positions

  private:
    std::unordered_map<uint64_t, int32_t> recent_;
    std::unordered_map<uint64_t, int32_t> before_;
};

struct key_order {
    std::vector<int32_t> cells;  // all that were asked for, by position; where it is not certain, in any order
    bool certain = false;
};

class cell_table {
  public:
    // REQUIRES cell >= 0, position >= 0.
    void learn(int64_t cell, int32_t position, const key_probe & keys);

    // Nobody knows what cells [first, first + n) hold, so far as there are such. REQUIRES n >= 0; any `first` will do.
    void forget(int64_t first, int64_t n);

    // The host has read a cell's key, or replaced it by this one, where the keys themselves cannot be read.
    // REQUIRES keys are rotary.
    void saved(int64_t cell, uint64_t key);
    void restored(int64_t cell, uint64_t key);

    // Position of a cell; -1: not certain.
    int32_t position(int64_t cell, const key_probe & keys) const;

    // Whether cells [first, first + n) certainly hold positions 0 .. n - 1.
    bool ascending(int64_t first, int64_t n, const key_probe & keys) const;

    // Orders `visible` (distinct, ascending, counted from cell `first`), which hold positions 0 .. visible.size() - 1:
    // element i of a certain result is the cell of position i, counted likewise. A single cell of unknown position has
    // the one that is left over; with more of them, or where two cells claim one position, it is not certain.
    key_order order(std::span<const int32_t> visible, int64_t first, const key_probe & keys) const;

  private:
    struct entry {
        uint64_t key = 0;
        int32_t position = -1;
    };
    std::vector<entry> entries_;  // by cell
    known_keys known_;
};

// What is known of one cache.
struct known_cells {
    key_probe keys;
    cell_table table;
};

}  // namespace tmx
