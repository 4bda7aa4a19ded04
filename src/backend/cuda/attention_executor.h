// What a GPU proxy computes attention and feed-forward blocks with: CUDA kernels in the product, something that runs
// anywhere in tests. One per proxy backend, that is one per llama context and device.
//
// The executor has a queue of its own, which wait_for() and record() order with the wrapped backend's through events of
// the wrapped device. Where that device has no events, the proxy waits on the host instead.
//
// THREADS  One call at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "trianglemix/attention.h"
#include "trianglemix/cuda_attention.h"
#include "trianglemix/cuda_feed_forward.h"
#include "trianglemix/cuda_mask_rows.h"
#include "trianglemix/selection.h"

namespace tmx {

// The pairs that the selected segments of one call kept, as selected_attention_forward() adds them up.
struct kept_by_call {
    uint64_t call = 0;
    std::vector<int64_t> kept;
};

class attention_executor {
  public:
    virtual ~attention_executor() = default;

    virtual const char * kernel() const = 0;

    // Why this node is left to the wrapped backend, as text that lives forever; null: it is covered. From shapes, types
    // and options alone.
    virtual const char * declines(const attention_args & args) const = 0;

    // What all layers of one evaluation with this shape and these segments share. Ranked segments only. `work` may be
    // dropped while the device still uses it. `selection`: of segments whose blocks forward() selects anew in each
    // layer, at least one; null: none.
    // ERRORS   unsupported: it has no form of that method. All leave `work` as it was.
    //          The text of a lack of memory is always the same.
    virtual status prepare(const attention_args & args, std::span<const attention_segment> segments,
                           const selection_request * selection, std::shared_ptr<const void> & work) = 0;

    // Enqueues one layer; waits for nothing. `call`: the number by which take_kept() will name it if it has selected
    // segments; 0: it will not.
    virtual status forward(const attention_args & args, const std::shared_ptr<const void> & work, uint64_t & call) = 0;

    // Why this block is left to the wrapped backend, as text that lives forever; null: it is covered. After forward()
    // failed for want of something that will not come, it is always that.
    virtual const char * declines(const feed_forward_args & args) const = 0;

    // Enqueues a block; waits for nothing. REQUIRES declines() says that it is covered.
    virtual status forward(const feed_forward_args & args) = 0;

    // What calls kept that the device has finished, each told once. Has the device send what it still counts; waits
    // for nothing.
    virtual std::vector<kept_by_call> take_kept() = 0;

    // As cuda_compare_mask_rows(), of a mask in the wrapped device's memory that nobody still writes.
    virtual status compare_mask_rows(const device_mask & mask, std::span<const int32_t> cells,
                                     std::span<uint8_t> found) = 0;

    // What is enqueued from now on waits for the event; the event happens when everything enqueued so far is done. An
    // event is what the wrapped backend makes of a ggml event: its `context`, on CUDA devices a cudaEvent_t.
    virtual status wait_for(void * event) = 0;
    virtual status record(void * event) = 0;

    // Waits until everything enqueued is done.
    virtual status synchronize() = 0;

    // Device memory that it takes for itself: at most how much, from now on; how much it holds; and to give back what
    // no work holds. False: something still runs, so all stays as it is.
    virtual void limit_scratch(const cuda_scratch_limit & limit) = 0;
    virtual int64_t scratch_bytes() const = 0;
    virtual bool release_scratch() = 0;
};

}  // namespace tmx
