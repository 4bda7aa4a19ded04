#include "glue/proxy/scratch_keeper.h"

namespace tmx {

void scratch_keeper::limit() {
    cuda_scratch_limit mine = limits_.scratch;
    mine.most_bytes -= held_.load(std::memory_order_relaxed) - noted_;
    executor_->limit_scratch(mine);
}

void scratch_keeper::note() {
    change_to(executor_ != nullptr ? executor_->scratch_bytes() : 0);
}

void scratch_keeper::release() {
    if (executor_->release_scratch()) {
        n_idle_ = 0;
        note();
    }
}

void scratch_keeper::end() {
    executor_ = nullptr;
    change_to(0);
}

void scratch_keeper::change_to(int64_t bytes) {
    if (bytes != noted_) {
        held_.fetch_add(bytes - noted_, std::memory_order_relaxed);
        statistics_.add_scratch(bytes - noted_);
        noted_ = bytes;
    }
}

}  // namespace tmx
