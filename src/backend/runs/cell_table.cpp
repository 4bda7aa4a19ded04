#include "backend/runs/cell_table.h"

#include <algorithm>
#include <cstring>

namespace tmx {
namespace {

constexpr int32_t k_unknown = -1;
constexpr int32_t k_several = -2;

}  // namespace

uint64_t key_hash(const std::byte * key, size_t row_bytes) {
    constexpr size_t k_most_bytes = 64;  // 32 f16 values, or 32 values of a quantised block and more: one cache line
    uint64_t hash = 0x243f6a8885a308d3u;
    const size_t n = std::min(row_bytes, k_most_bytes);
    for (size_t at = 0; at < n; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        std::memcpy(&word, key + at, std::min(sizeof(word), n - at));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

void known_keys::remember(uint64_t key, int32_t position) {
    const auto old = before_.find(key);
    const int32_t seen = old != before_.end() ? old->second : position;
    const auto [at, is_new] = recent_.try_emplace(key, seen == position ? position : k_several);
    if (!is_new && at->second != position) {
        at->second = k_several;
    }
    if (recent_.size() == k_most) {
        before_ = std::move(recent_);
        recent_.clear();
    }
}

int32_t known_keys::position(uint64_t key) const {
    for (const auto * table : {&recent_, &before_}) {
        if (const auto at = table->find(key); at != table->end()) {
            return std::max(at->second, k_unknown);
        }
    }
    return k_unknown;
}

void cell_table::learn(int64_t cell, int32_t position, const key_probe & keys) {
    const auto index = static_cast<size_t>(cell);
    if (index >= entries_.size()) {
        entries_.resize(std::max(index + 1, entries_.size() * 2));
    }
    entry & learned = entries_[index];
    learned = {0, position};
    if (keys.readable()) {
        learned.key = keys.read(cell);
        if (keys.rotary) {
            known_.remember(learned.key, position);
        }
    }
}

void cell_table::forget(int64_t first, int64_t n) {
    const auto known = static_cast<int64_t>(entries_.size());
    const int64_t begin = std::clamp(first, int64_t{0}, known);
    const int64_t n_there = first < 0 ? n + first : n;  // of them not before cell 0
    const int64_t end = begin + std::clamp(n_there, int64_t{0}, known - begin);
    std::fill(entries_.begin() + begin, entries_.begin() + end, entry{});
}

void cell_table::saved(int64_t cell, uint64_t key) {
    if (const int32_t known = position(cell, {}); known >= 0) {
        known_.remember(key, known);
    }
}

void cell_table::restored(int64_t cell, uint64_t key) {
    if (const int32_t known = known_.position(key); known >= 0) {
        learn(cell, known, {});
    } else {
        forget(cell, 1);
    }
}

int32_t cell_table::position(int64_t cell, const key_probe & keys) const {
    const auto index = static_cast<size_t>(cell);
    const entry known = index < entries_.size() ? entries_[index] : entry{};
    if (!keys.readable()) {
        return known.position;
    }
    const uint64_t key = keys.read(cell);
    if (known.position >= 0 && known.key == key) {
        return known.position;
    }
    return keys.rotary ? known_.position(key) : k_unknown;
}

bool cell_table::ascending(int64_t first, int64_t n, const key_probe & keys) const {
    for (int64_t i = 0; i < n; ++i) {
        if (position(first + i, keys) != i) {
            return false;
        }
    }
    return true;
}

key_order cell_table::order(std::span<const int32_t> visible, int64_t first, const key_probe & keys) const {
    std::vector<int32_t> cell_of(visible.size(), k_unknown);
    size_t n_unknown = 0;
    int32_t unknown = k_unknown;
    for (const int32_t cell : visible) {
        const int32_t rank = position(first + cell, keys);
        if (rank == k_unknown) {
            ++n_unknown;
            unknown = cell;
        } else if (static_cast<size_t>(rank) >= cell_of.size() || cell_of[static_cast<size_t>(rank)] != k_unknown) {
            n_unknown = visible.size() + 1;  // what is known contradicts itself
            break;
        } else {
            cell_of[static_cast<size_t>(rank)] = cell;
        }
    }
    if (n_unknown > 1) {
        return {{visible.begin(), visible.end()}, false};
    }
    if (n_unknown == 1) {
        *std::find(cell_of.begin(), cell_of.end(), k_unknown) = unknown;
    }
    return {std::move(cell_of), true};
}

}  // namespace tmx
