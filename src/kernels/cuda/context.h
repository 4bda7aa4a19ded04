// What a context and a work hold, and how their memory lives.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda_device/device.h"
#include "cuda_device/device_status.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pair_counts.h"
#include "kernels/cuda/stage.h"
#include "kernels/cuda/work_list.h"
#include "trianglemix/cuda_attention.h"

namespace tmx::cuda {

// The compiled kernels of one architecture, ascending by dim; of one dim, all tile sizes.
std::span<const kernel_variant> variants_of(architecture arch);

// Device memory for tile lists, used again once a work is dropped: the next upload into it is enqueued behind whatever
// still reads it.
class slab_pool {
  public:
    explicit slab_pool(int device) : device_(device) {}
    ~slab_pool();
    struct slab {
        void * data = nullptr;
        size_t bytes = 0;
    };
    // `others`: what else counts towards `limit`.
    status take(size_t bytes, size_t others, const cuda_scratch_limit & limit, slab & result);
    void give(const slab & s) noexcept;
    void free_unused() noexcept;  // waits for the device
    size_t bytes() const;

  private:
    int device_;
    mutable std::mutex mutex_;
    size_t n_slabs_ = 0;  // that there are
    size_t bytes_ = 0;
    std::vector<slab> free_;  // has room for all of them: giving one back allocates nothing
};

// Pinned memory that an upload is read from. A buffer whose copy has not finished is left alone; another one is made.
class upload_buffers {
  public:
    ~upload_buffers();
    struct buffer {
        void * data = nullptr;
        size_t bytes = 0;
        cudaEvent_t copied = nullptr;
    };
    cudaError_t take(size_t bytes, buffer *& result);

  private:
    std::vector<std::unique_ptr<buffer>> buffers_;
};

// Device memory that all calls of a context lay out anew, one after the other on its stream. It grows and goes in the
// order of that stream.
class scratch {
  public:
    ~scratch();
    // `others`: what else counts towards `limit`. On an error there may be less than before.
    status reserve(size_t bytes, size_t others, const cuda_scratch_limit & limit, cudaStream_t stream);
    void release(cudaStream_t stream) noexcept;  // waits for the stream
    uint8_t * data() const { return data_; }
    size_t bytes() const { return bytes_; }

  private:
    uint8_t * data_ = nullptr;
    size_t bytes_ = 0;
};

// Where a call's parts lie in it.
struct scratch_layout {
    size_t sums = 0;
    size_t scales = 0;
    size_t k = 0;
    size_t v = 0;
    size_t bytes = 0;
};

}  // namespace tmx::cuda

namespace tmx {

struct cuda_context::state {
    int device = 0;
    int n_sm = 0;
    bool hopper = false;
    cuda::architecture arch = cuda::architecture::sm80;
    std::shared_ptr<cuda::slab_pool> slabs;
    cuda::upload_buffers uploads;
    cuda_scratch_limit limit;
    cuda::scratch scratch;
    cuda::pair_counts counts;
    int32_t * counter = nullptr;  // kernel_params::next_item; null: not made yet
    bool counter_is_zero = false;
};

struct cuda_work {
    ~cuda_work() {
        if (slab.data != nullptr) {
            slabs->give(slab);
        }
    }
    attention_args shape;  // of the calls; pointers unused
    const cuda::kernel_variant * variant = nullptr;
    std::shared_ptr<cuda::slab_pool> slabs;  // its context's: tells that from others, even when it is gone
    cuda::slab_pool::slab slab;
    cuda::work_item * items = nullptr;  // this and the following: device memory inside the slab
    const cuda::combine_item * combines = nullptr;
    int32_t * first_ranks = nullptr;
    const cuda::stage_job * jobs = nullptr;
    const int32_t * cells = nullptr;
    const cuda::walk_job * walk_jobs = nullptr;
    const int32_t * walk_job_items = nullptr;
    uint32_t * bits = nullptr;
    void * workspace = nullptr;                     // the selector's
    std::shared_ptr<const cuda_selector> selector;  // null: the host has made all walks
    std::vector<cuda_selected_rows> selected;       // one per selected segment
    std::shared_ptr<const cuda::counted_work> counted;
    int32_t n_walk_jobs = 0;
    int32_t n_items = 0;
    int32_t n_combines = 0;
    int32_t n_partials = 0;
    int32_t n_jobs = 0;
    int32_t n_staged_keys = 0;  // 0: keys and values are read in place
    cuda::scratch_layout scratch;
    cuda_work_facts facts;
};

}  // namespace tmx
