// Attention masks that the host does not send to a GPU after all. The scheduler copies each evaluation's mask to the
// device while that waits: 2 bytes a pair, a twelfth of the time of 128K tokens on an H200. Our kernels never read it;
// what they need of it the proxy reads from the host's original. So a large mask is held back when it is written, and
// sent only if a node needs it that the wrapped backend computes.
//
// Nothing here throws into the host: without memory a mask goes at once.
// THREADS  Any; a late_masks belongs to one backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "glue/abi.h"

namespace tmx {

// Which masks of a device may wait.
struct mask_patience {
    int64_t least_bytes = std::numeric_limits<int64_t>::max();
    // Whether the bytes at that address of the host stay what they are until the graph that reads them has been
    // enqueued: the scheduler's own inputs do, and lie in pinned memory; what comes from a network does not.
    const std::function<bool(const void * data)> * stays = nullptr;  // null: none does
};

// The host writes into a tensor of that buffer, by its own functions. True: that was a mask, and it waits.
bool hold_mask(ggml_backend_buffer_t buffer, const ggml_tensor * tensor, const void * data, size_t offset, size_t size,
               const mask_patience & patience, const ggml_backend_buffer_i & theirs) noexcept;

// The host is about to read or write a tensor of a watched buffer in another way: what waits for it is sent.
void send_mask_of(const ggml_tensor * tensor) noexcept;

// A buffer begins, maybe in the memory of one that ended with a mask that nobody took: nothing waits for it.
void forget_masks_of(ggml_backend_buffer_t buffer) noexcept;

// Those that wait for one graph.
class late_masks {
  public:
    // Takes what the graph's nodes read, and sends at once what others than its attention nodes read, too. REQUIRES
    // called before any of the graph is enqueued.
    void take(const ggml_cgraph * graph);

    // Sends what an attention node of the graph reads that is not among `ours`, numbers in ascending order.
    void settle(const ggml_cgraph * graph, const std::vector<int> & ours);

    void send() noexcept;    // all that still wait
    size_t drop() noexcept;  // nobody needs them any more; how many there were

    struct held {
        ggml_tensor tensor;                     // on the device
        const ggml_tensor * written = nullptr;  // that one; nodes may read another one of its name
        const void * data = nullptr;
        void (*set)(ggml_backend_buffer_t, ggml_tensor *, const void *, size_t, size_t) = nullptr;

        void send() { set(tensor.buffer, &tensor, data, 0, ggml_nbytes(&tensor)); }
        // Whether that tensor is it, or a view of it. Its memory alone does not tell: it serves other nodes once it has
        // been read.
        bool is(const ggml_tensor * t) const;
    };

  private:
    std::vector<held> held_;
};

}  // namespace tmx
