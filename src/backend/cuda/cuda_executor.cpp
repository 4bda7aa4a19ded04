#include "backend/cuda/cuda_executor.h"

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "cuda_device/device.h"
#include "cuda_device/device_status.h"
#include "trianglemix/cuda_attention.h"

namespace tmx {
namespace {

status checked(const char * doing, cudaError_t error) {
    return error == cudaSuccess ? status() : cuda::device_status(error, doing);
}

// Which sum counts each head of each segment.
struct kept_sums {
    std::vector<size_t> sum;  // [segments][n_head]
    size_t n_sums = 0;
};

kept_sums sums_of(const selection_request & request, int64_t n_head) {
    kept_sums sums;
    sums.n_sums = request.n_sums();
    for (const uint8_t mark : request.selected) {
        for (int64_t head = 0; head < n_head; ++head) {
            sums.sum.push_back(request.sum_of(static_cast<size_t>(head), mark));
        }
    }
    return sums;
}

struct executor_work {
    std::shared_ptr<cuda_work> work;
    std::shared_ptr<const kept_sums> sums;  // null: nothing is selected
};

// ggml-cuda multiplies f16 weights in f16 unless one of these says otherwise, the second in older versions.
bool asks_for_other_arithmetic() {
    const char * asked = std::getenv("GGML_CUDA_CUBLAS_COMPUTE_TYPE");
    return (asked != nullptr && std::strcmp(asked, "auto") != 0) ||
           std::getenv("GGML_CUDA_FORCE_CUBLAS_COMPUTE_32F") != nullptr;
}

class cuda_executor final : public attention_executor {
  public:
    static status create(int device, std::unique_ptr<attention_executor> & executor) {
        auto made = std::make_unique<cuda_executor>();
        if (status result = cuda_context::create(device, made->context_); !result.ok()) {
            return result;
        }
        const cuda::device_scope scope(device);
        cudaError_t error = scope.error();
        if (error == cudaSuccess) {
            error = cudaStreamCreateWithFlags(&made->stream_, cudaStreamNonBlocking);
        }
        if (error != cudaSuccess) {
            return cuda::device_status(error, "making a stream");
        }
        executor = std::move(made);
        return {};
    }

    cuda_executor() = default;
    ~cuda_executor() override {
        feed_forward_.reset();
        context_.reset();
        if (stream_ != nullptr) {
            cudaStreamDestroy(stream_);
        }
    }

    const char * kernel() const override { return context_->kernel(); }
    const char * declines(const attention_args & args) const override { return cuda_declines(args); }

    status prepare(const attention_args & args, std::span<const attention_segment> segments,
                   const selection_request * selection, std::shared_ptr<const void> & work) override {
        cuda_selection on_device;
        auto made = std::make_shared<executor_work>();
        if (selection != nullptr) {
            on_device = {cuda_selector_of(*selection), selection->selected, selection->per_query_head};
            if (on_device.selector == nullptr) {
                return status::error(status_code::unsupported, "the plan's dynamic method has no CUDA form");
            }
            made->sums = std::make_shared<const kept_sums>(sums_of(*selection, args.n_head));
        }
        status result = cuda_prepare(args, segments, {}, *context_, stream_, made->work, on_device);
        if (result.ok()) {
            work = std::move(made);
        }
        return result;
    }

    status forward(const attention_args & args, const std::shared_ptr<const void> & work, uint64_t & call) override {
        const auto & made = *static_cast<const executor_work *>(work.get());
        status result =
            cuda_attention_forward(args, *made.work, *context_, stream_, made.sums != nullptr ? &call : nullptr);
        if (result.ok() && call != 0) {
            counted_[call] = made.sums;
        }
        return result;
    }

    const char * declines(const feed_forward_args & args) const override {
        if (other_arithmetic_) {
            return "GGML_CUDA_CUBLAS_COMPUTE_TYPE (or FORCE_CUBLAS_COMPUTE_32F) asks for another arithmetic";
        }
        return has_feed_forward_ ? feed_forward_declines(args) : "cuBLAS cannot be used";
    }

    // What does not start once is not tried again: each layer would wait for it.
    status forward(const feed_forward_args & args) override {
        if (feed_forward_ == nullptr) {
            if (status result = cuda_feed_forward::create(context_->device(), feed_forward_); !result.ok()) {
                has_feed_forward_ = false;
                return result;
            }
        }
        return feed_forward_->forward(args, stream_);
    }

    std::vector<kept_by_call> take_kept() override {
        std::vector<kept_by_call> all;
        for (const cuda_kept_pairs & each : context_->take_kept(stream_)) {
            const auto found = counted_.find(each.call);
            if (found == counted_.end()) {
                continue;  // of a call that failed
            }
            const kept_sums & sums = *found->second;
            kept_by_call & call = all.emplace_back();
            call.call = each.call;
            call.kept.resize(sums.n_sums);
            for (size_t i = 0; i < sums.sum.size(); ++i) {
                call.kept[sums.sum[i]] += each.pairs[i];
            }
            counted_.erase(found);
        }
        return all;
    }

    status compare_mask_rows(const device_mask & mask, std::span<const int32_t> cells,
                             std::span<uint8_t> found) override {
        return cuda_compare_mask_rows(mask, cells, found, *context_, stream_);
    }

    status wait_for(void * event) override {
        return checked("waiting for an event", cudaStreamWaitEvent(stream_, static_cast<cudaEvent_t>(event), 0));
    }

    status record(void * event) override {
        return checked("recording an event", cudaEventRecord(static_cast<cudaEvent_t>(event), stream_));
    }

    status synchronize() override { return checked("waiting for the device", cudaStreamSynchronize(stream_)); }

    void limit_scratch(const cuda_scratch_limit & limit) override { context_->limit_scratch(limit); }
    int64_t scratch_bytes() const override { return context_->scratch_bytes(); }
    bool release_scratch() override {
        const bool idle = context_->release_scratch(stream_);
        if (idle) {
            feed_forward_.reset();
        }
        return idle;
    }

  private:
    std::unique_ptr<cuda_context> context_;
    cudaStream_t stream_ = nullptr;
    std::map<uint64_t, std::shared_ptr<const kept_sums>> counted_;  // by call: what take_kept() will tell
    std::unique_ptr<cuda_feed_forward> feed_forward_;               // made when it is first needed
    bool has_feed_forward_ = true;
    bool other_arithmetic_ = asks_for_other_arithmetic();
};

}  // namespace

int cuda_device_at(const char * pci_address) noexcept {
    return cuda::device_at(pci_address);
}

std::string cuda_problem_of(int device, std::string & kernel) {
    cuda::compute_capability capability;
    if (const cudaError_t error = cuda::read_capability(device, capability); error != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        return cudaGetErrorString(error);
    }
    if (!capability.covered()) {
        return "compute capability " + std::to_string(capability.major) + "." + std::to_string(capability.minor) +
               ", at least 8.0 is needed";
    }
    kernel = cuda::name_of(capability.best());
    return "";
}

bool cuda_is_pinned(int device, const void * data) noexcept {
    const cuda::device_scope scope(device);
    cudaPointerAttributes attributes{};
    if (scope.error() != cudaSuccess || cudaPointerGetAttributes(&attributes, data) != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        return false;
    }
    return attributes.type == cudaMemoryTypeHost;
}

status make_cuda_executor(int device, std::unique_ptr<attention_executor> & executor) {
    return cuda_executor::create(device, executor);
}

}  // namespace tmx
