#include "runtime/chunks.h"

#include <algorithm>

namespace tmx {

std::vector<index_range> cut_chunks(int64_t n_tokens, int64_t chunk, int64_t min_last) {
    std::vector<index_range> chunks;
    for (int64_t begin = 0; begin < n_tokens; begin += chunk) {
        chunks.push_back({begin, std::min(begin + chunk, n_tokens)});
    }
    const int64_t wanted = std::min(min_last, chunk);
    if (chunks.size() > 1 && chunks.back().size() < wanted) {
        // The chunk before is full, so it has `wanted` tokens or more. It gives away fewer, and keeps at least one.
        const int64_t cut = n_tokens - wanted;
        chunks[chunks.size() - 2].end = cut;
        chunks.back().begin = cut;
    }
    return chunks;
}

}  // namespace tmx
