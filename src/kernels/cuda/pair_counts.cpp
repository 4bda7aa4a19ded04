#include "kernels/cuda/pair_counts.h"

#include <algorithm>
#include <utility>

namespace tmx::cuda {
namespace {

constexpr size_t k_least_counters = 4096;  // of a batch: more than an evaluation of most models needs

}  // namespace

pair_counts::~pair_counts() = default;

pair_counts::batch::~batch() {
    cudaFree(device);
    cudaFreeHost(host);
    if (arrived != nullptr) {
        cudaEventDestroy(arrived);
    }
}

cudaError_t pair_counts::make(size_t capacity, cudaStream_t stream, std::unique_ptr<batch> & result) {
    auto made = std::make_unique<batch>();
    const size_t bytes = capacity * sizeof(unsigned long long);
    void * device = nullptr;
    cudaError_t error = cudaMalloc(&device, bytes);
    if (error == cudaSuccess) {
        made->device = static_cast<unsigned long long *>(device);
        error = cudaMemsetAsync(device, 0, bytes, stream);
    }
    void * host = nullptr;
    if (error == cudaSuccess) {
        error = cudaHostAlloc(&host, bytes, cudaHostAllocDefault);
    }
    if (error == cudaSuccess) {
        made->host = static_cast<unsigned long long *>(host);
        error = cudaEventCreateWithFlags(&made->arrived, cudaEventDisableTiming);
    }
    made->capacity = capacity;
    if (error == cudaSuccess) {
        result = std::move(made);
    }
    return error;
}

pair_counts::batch * pair_counts::room_for(size_t n, cudaStream_t stream) {
    if (open_ != nullptr && open_->used + n <= open_->capacity) {
        return open_;
    }
    if (open_ != nullptr) {
        send(*open_, stream);
        open_ = nullptr;
    }
    const auto unused = std::find_if(batches_.begin(), batches_.end(), [&](const std::unique_ptr<batch> & each) {
        return each->used == 0 && each->capacity >= n;
    });
    if (unused != batches_.end()) {
        open_ = unused->get();
        return open_;
    }
    batches_.reserve(batches_.size() + 1);
    std::unique_ptr<batch> made;
    if (make(std::max(n, k_least_counters), stream, made) != cudaSuccess) {
        (void)cudaGetLastError();
        return nullptr;
    }
    batches_.push_back(std::move(made));
    open_ = batches_.back().get();
    return open_;
}

unsigned long long * pair_counts::add(const std::shared_ptr<const counted_work> & work, cudaStream_t stream,
                                      uint64_t & call) {
    call = 0;
    batch * all = room_for(work->heads.size(), stream);
    if (all == nullptr) {
        return nullptr;
    }
    all->entries.push_back({n_calls_ + 1, all->used, work});
    call = ++n_calls_;
    unsigned long long * counters = all->device + all->used;
    all->used += work->heads.size();
    return counters;
}

// The counters are 0 again behind the copy.
void pair_counts::send(batch & all, cudaStream_t stream) {
    const size_t bytes = all.used * sizeof(unsigned long long);
    cudaError_t error = cudaMemcpyAsync(all.host, all.device, bytes, cudaMemcpyDeviceToHost, stream);
    if (error == cudaSuccess) {
        error = cudaMemsetAsync(all.device, 0, bytes, stream);
    }
    if (error == cudaSuccess) {
        error = cudaEventRecord(all.arrived, stream);
    }
    if (error != cudaSuccess) {
        (void)cudaGetLastError();  // the device is lost, and with it the counts: the next call finds that
        all.entries.clear();
    }
    all.sent = true;
}

void pair_counts::read(batch & all, std::vector<cuda_kept_pairs> & kept) {
    for (const entry & each : all.entries) {
        const counted_work & work = *each.work;
        cuda_kept_pairs & call = kept.emplace_back();
        call.call = each.call;
        call.pairs.resize(static_cast<size_t>(work.n_segments * work.n_head));
        for (size_t i = 0; i < work.heads.size(); ++i) {
            const counted_heads & heads = work.heads[i];
            const auto begin = static_cast<size_t>(heads.segment * work.n_head + heads.head_begin);
            const auto pairs = static_cast<int64_t>(all.host[each.first + i]);
            std::fill_n(call.pairs.begin() + static_cast<std::ptrdiff_t>(begin), heads.n_heads, pairs);
        }
    }
}

std::vector<cuda_kept_pairs> pair_counts::take(cudaStream_t stream) {
    if (open_ != nullptr && open_->used > 0) {
        send(*open_, stream);
        open_ = nullptr;
    }
    std::vector<cuda_kept_pairs> kept;
    for (const std::unique_ptr<batch> & each : batches_) {
        if (each->sent && cudaEventQuery(each->arrived) == cudaSuccess) {
            read(*each, kept);
            each->entries.clear();
            each->used = 0;
            each->sent = false;
        }
    }
    return kept;
}

}  // namespace tmx::cuda
