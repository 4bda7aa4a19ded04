#include "ggml/cell_table.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace tmx {
namespace {

constexpr int32_t k_unset = -1;
constexpr size_t k_most_caches = 8;  // several a context only with hybrid models

// Indices [0, n) of a list, each taken once; `take_from` gives the first free one at or after an index, cyclically.
class free_slots {
  public:
    explicit free_slots(size_t n) : next_(n + 1) { std::iota(next_.begin(), next_.end(), size_t{0}); }

    size_t take_from(size_t index) {
        size_t slot = first_free(index);
        if (slot + 1 == next_.size()) {
            slot = first_free(0);
        }
        next_[slot] = slot + 1;
        return slot;
    }

  private:
    size_t first_free(size_t index) {
        while (next_[index] != index) {
            next_[index] = next_[next_[index]];
            index = next_[index];
        }
        return index;
    }

    std::vector<size_t> next_;  // itself when free, else a later index; the last is a sentinel
};

}  // namespace

uint64_t key_probe::read(int64_t cell) const {
    if (base == nullptr) {
        return 0;
    }
    uint64_t words[k_bytes / sizeof(uint64_t)];
    std::memcpy(words, base + cell * stride_bytes, k_bytes);
    return words[0] * 0x9e3779b97f4a7c15u + (words[1] ^ (words[1] >> 29)) * 0xbf58476d1ce4e5b9u;
}

void cell_table::learn(int64_t cell, int32_t position, const key_probe & keys) {
    const auto index = static_cast<size_t>(cell);
    if (index >= entries_.size()) {
        entries_.resize(std::max(index + 1, entries_.size() * 2));
    }
    entries_[index] = {keys.read(cell), position};
}

void cell_table::forget(int64_t first, int64_t n) {
    const auto known = static_cast<int64_t>(entries_.size());
    for (int64_t cell = std::max(first, int64_t{0}); cell < std::min(first + n, known); ++cell) {
        entries_[static_cast<size_t>(cell)] = {};
    }
}

int32_t cell_table::position(int64_t cell, const key_probe & keys) const {
    const auto index = static_cast<size_t>(cell);
    if (index >= entries_.size() || entries_[index].position < 0 || entries_[index].key_bits != keys.read(cell)) {
        return k_unset;
    }
    return entries_[index].position;
}

bool cell_table::ascending(int64_t first, int64_t n, const key_probe & keys) const {
    for (int64_t i = 0; i < n; ++i) {
        const int32_t place = position(first + i, keys);
        if (place != k_unset && place != i) {
            return false;
        }
    }
    return true;
}

std::vector<int32_t> cell_table::order(std::span<const int32_t> visible, int64_t first, const key_probe & keys) const {
    std::vector<int32_t> cell_of(visible.size(), k_unset);
    std::vector<int32_t> unknown;
    for (const int32_t cell : visible) {
        const int32_t place = position(first + cell, keys);
        if (place == k_unset) {
            unknown.push_back(cell);
        } else if (static_cast<size_t>(place) >= cell_of.size() || cell_of[static_cast<size_t>(place)] != k_unset) {
            return {};
        } else {
            cell_of[static_cast<size_t>(place)] = cell;
        }
    }
    if (unknown.size() == visible.size()) {
        return unknown;
    }
    free_slots slots(unknown.size());
    int32_t before = k_unset;
    for (int32_t & cell : cell_of) {
        if (cell == k_unset) {
            const auto next = std::upper_bound(unknown.begin(), unknown.end(), before);
            cell = unknown[slots.take_from(static_cast<size_t>(next - unknown.begin()))];
        }
        before = cell;
    }
    return cell_of;
}

cell_tables::known_cache & cell_tables::of(const void * cache) {
    const auto known =
        std::find_if(caches_.begin(), caches_.end(), [&](const known_cache & each) { return each.cache == cache; });
    if (known != caches_.end()) {
        return *known;
    }
    if (caches_.size() == k_most_caches) {
        caches_.erase(caches_.begin());
    }
    return caches_.emplace_back(cache);
}

}  // namespace tmx
