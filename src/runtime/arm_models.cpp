#include "runtime/arm_models.h"

#include <utility>

namespace tmx {

arm_models::arm_models(model ours, arm_devices where, loader load, bool keep_both)
    : where_(std::move(where)),
      load_(std::move(load)),
      keep_both_(keep_both || where_.ours == where_.stock),
      facts_(ours.facts()),
      ours_(std::move(ours)) {
    if (!keep_both_) {
        text_ = load_("", false);
    }
}

const model & arm_models::of(const arm & a) {
    const bool other_device = !a.ours && where_.ours != where_.stock;
    std::optional<model> & wanted = other_device ? stock_ : ours_;
    std::optional<model> & other = other_device ? ours_ : stock_;
    if (!wanted) {
        if (!keep_both_) {
            other.reset();
        }
        wanted = load_(device_of(a), true);
    }
    return *wanted;
}

const model & arm_models::text() const {
    return text_ ? *text_ : *ours_;
}

bool two_models_fit(const model_facts & facts, int64_t n_ctx, size_t bytes_free, size_t bytes_total) {
    // Keys and values in f16, and an eighth of the memory for what graphs compute in.
    const double cache = 2.0 * 2.0 * facts.n_layer * facts.n_head_kv * facts.d_head * static_cast<double>(n_ctx);
    return static_cast<double>(bytes_free) >=
           static_cast<double>(facts.weight_bytes) + cache + static_cast<double>(bytes_total) / 8;
}

}  // namespace tmx
