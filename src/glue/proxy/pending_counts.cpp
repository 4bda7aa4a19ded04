#include "glue/proxy/pending_counts.h"

#include <exception>

namespace tmx {

void pending_counts::expect(uint64_t call, int32_t layer, const std::shared_ptr<const selected_node> & node) {
    if (call == 0) {
        statistics_.count_selected(layer, node->record_of_all());
        return;
    }
    expected_[call] = {layer, node};
}

void pending_counts::collect() {
    if (executor_ == nullptr || expected_.empty()) {
        return;
    }
    for (const kept_by_call & each : executor_->take_kept()) {
        const auto found = expected_.find(each.call);
        if (found != expected_.end()) {
            statistics_.count_selected(found->second.layer, found->second.node->record(each.kept, {}));
            expected_.erase(found);
        }
    }
}

void pending_counts::finish() noexcept try {
    collect();
    if (!expected_.empty() && executor_->synchronize().ok()) {
        collect();
    }
} catch (const std::exception &) {
    expected_.clear();
}

}  // namespace tmx
