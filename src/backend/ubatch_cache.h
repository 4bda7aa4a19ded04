// The ubatches of one evaluation, each classified once: the first node with a mask does it, and every layer with the
// same mask uses what was found. Shared by the CPU device and the GPU proxies.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "backend/runs/cell_table.h"
#include "backend/runs/mask_check.h"
#include "backend/runs/ubatch_runs.h"
#include "backend/statistics.h"

namespace tmx {

// Whose rows a node computes, as far as addresses and shapes tell.
struct ubatch_key {
    const void * mask = nullptr;  // identity of what the node reads its mask from
    int64_t n_stream = 0;
    int64_t n_rows = 0;
    int64_t n_kv = 0;

    bool operator==(const ubatch_key &) const = default;
};

// One ubatch's rows as the nodes with one mask see them.
struct known_ubatch {
    ubatch_key key;
    ubatch_inputs inputs;
    ubatch_runs found;
    uint64_t print = 0;                 // of the mask and output rows, where these may change unseen
    std::unique_ptr<mask_check> check;  // still reading the mask; null: all of it was read
};

// A node, as far as its ubatch can be read from it.
class ubatch_source {
  public:
    virtual ~ubatch_source() = default;

    virtual ubatch_inputs read() = 0;

    // What is known of the cells that the node's rows see, their own included. REQUIRES read(), which missed nothing.
    virtual const known_cells & cells() = 0;

    // The ubatch as it lies there now, for its fingerprint; none if nothing can have changed since `before` was read.
    // Only mask and output rows count, since the memory of the others may serve later nodes of the evaluation already.
    virtual std::optional<ubatch_view> look_again(const ubatch_inputs & before) = 0;
};

class ubatch_cache {
  public:
    // Masks of that size or more are read whole only while a device already computes what samples of them say.
    explicit ubatch_cache(statistics & counters, int64_t deferred_mask_bytes = std::numeric_limits<int64_t>::max())
        : statistics_(counters), deferred_mask_bytes_(deferred_mask_bytes) {}

    void set_n_threads(int n_threads) { n_threads_ = n_threads; }

    // The next evaluation begins.
    void clear() { known_.clear(); }

    // The ubatch of a node, good until clear(). What `key` and `source` say is the node's.
    const known_ubatch & of(const ubatch_key & key, ubatch_source & source);

    // Waits until all masks are read whole. False: one of them is not what its samples said, so what was found is void;
    // from then on every mask is read whole at once.
    bool confirm_masks();

    // Stops reading masks: the host may now use their memory.
    void stop_checks();

  private:
    std::unique_ptr<known_ubatch> classify(const ubatch_key & key, ubatch_source & source) const;

    statistics & statistics_;
    int64_t deferred_mask_bytes_;
    int n_threads_ = 1;
    std::vector<std::unique_ptr<known_ubatch>> known_;
};

}  // namespace tmx
