// What calls keep in their selected segments: counted on the device, sent to pinned memory behind the call's kernels,
// and read there once it has arrived. Nothing waits.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/work_list.h"
#include "trianglemix/cuda_attention.h"

namespace tmx::cuda {

// Whose pairs the counters of a work's calls are.
struct counted_work {
    std::vector<counted_heads> heads;  // by counter
    int64_t n_segments = 0;
    int64_t n_head = 0;
};

class pair_counts {
  public:
    pair_counts() = default;
    ~pair_counts();
    pair_counts(const pair_counts &) = delete;
    pair_counts & operator=(const pair_counts &) = delete;

    // Counters for one call, DEVICE [work->heads.size()], 0 once the stream gets there; `call` gets its number. Null
    // and 0: there is no memory for them.
    unsigned long long * add(const std::shared_ptr<const counted_work> & work, cudaStream_t stream, uint64_t & call);

    // Sends what was counted since the last time, and returns what has arrived.
    std::vector<cuda_kept_pairs> take(cudaStream_t stream);

  private:
    struct entry {
        uint64_t call = 0;
        size_t first = 0;  // of its counters
        std::shared_ptr<const counted_work> work;
    };
    // Counters of some calls, which are sent together.
    struct batch {
        ~batch();
        unsigned long long * device = nullptr;
        unsigned long long * host = nullptr;
        cudaEvent_t arrived = nullptr;
        size_t capacity = 0;
        size_t used = 0;
        bool sent = false;
        std::vector<entry> entries;
    };

    static cudaError_t make(size_t capacity, cudaStream_t stream, std::unique_ptr<batch> & result);
    batch * room_for(size_t n, cudaStream_t stream);
    void send(batch & all, cudaStream_t stream);
    static void read(batch & all, std::vector<cuda_kept_pairs> & kept);

    std::vector<std::unique_ptr<batch>> batches_;
    batch * open_ = nullptr;  // one of them, not sent yet; null: none
    uint64_t n_calls_ = 0;
};

}  // namespace tmx::cuda
