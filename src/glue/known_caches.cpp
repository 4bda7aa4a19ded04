#include "glue/known_caches.h"

#include <algorithm>

#include "glue/backend_common.h"

namespace tmx {
namespace {

constexpr size_t k_most_caches = 8;  // several a context only with hybrid models

const void * identity_of(const ggml_tensor * cache) {
    return cache->buffer != nullptr ? static_cast<const void *>(cache->buffer) : cache;
}

void bring_up_to_date(known_cache & known) {
    if (known.watch == nullptr) {
        return;
    }
    const std::optional<std::vector<cache_access>> notes = known.watch->take();
    if (!notes) {
        known.cells.table = {};
        return;
    }
    for (const cache_access & each : *notes) {
        const bool by_key = known.cells.keys.rotary && !each.keys.empty();
        if (!by_key && each.what == cache_access::kind::replaced) {
            known.cells.table.forget(each.first, each.n);
        }
        for (size_t i = 0; by_key && i < each.keys.size(); ++i) {
            const int64_t cell = each.first + static_cast<int64_t>(i);
            if (each.what == cache_access::kind::saved) {
                known.cells.table.saved(cell, each.keys[i]);
            } else {
                known.cells.table.restored(cell, each.keys[i]);
            }
        }
    }
}

}  // namespace

known_cells & known_caches::of(const ggml_tensor * cache, bool rotary) {
    const void * identity = identity_of(cache);
    const uint64_t serial = serial_of(cache->buffer);
    std::erase_if(caches_,
                  [&](const known_cache & each) { return each.identity == identity && each.serial != serial; });
    auto found = std::find_if(caches_.begin(), caches_.end(),
                              [&](const known_cache & each) { return each.identity == identity; });
    if (found == caches_.end()) {
        if (caches_.size() == k_most_caches) {
            caches_.erase(caches_.begin());
        }
        known_cache made{.identity = identity, .serial = serial, .watch = {}, .cells = {}};
        made.cells.keys.stride_bytes = static_cast<ptrdiff_t>(cache->nb[1]);
        if (in_host_memory(cache)) {
            made.cells.keys.base = static_cast<const std::byte *>(cache->data);
        } else {
            made.watch = std::make_unique<cache_watch>(cache);
        }
        caches_.push_back(std::move(made));
        found = caches_.end() - 1;
    }
    found->cells.keys.rotary = rotary;
    bring_up_to_date(*found);
    return found->cells;
}

}  // namespace tmx
