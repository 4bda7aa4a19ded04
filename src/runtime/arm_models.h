// runtime/arm_models.h -- one model file, loaded where each arm computes: ours on our device, stock's behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "runtime/arm.h"
#include "runtime/model.h"

namespace tmx {

// Devices of ggml. If they are equal, one model serves every arm. Both are "" on the CPU, where a context decides
// whether our backend takes part.
struct arm_devices {
    std::string ours;
    std::string stock;
};

class arm_models {
  public:
    // Loads the file on that device, or (weights = false) its header and vocabulary only.
    using loader = std::function<model(const std::string & device, bool weights)>;

    // `ours` is loaded on where.ours. keep_both: both fit the device beside each other; otherwise one is given up
    // before the other is loaded, at every change between stock's arm and ours.
    arm_models(model ours, arm_devices where, loader load, bool keep_both);

    // The weights for this arm. REQUIRES no session over an earlier arm's is left. ERRORS failure, interrupted.
    const model & of(const arm & a);

    bool keeps_both() const { return keep_both_; }
    const model & text() const;  // for tokens and texts; always there
    const model_facts & facts() const { return facts_; }
    const std::string & device_of(const arm & a) const { return a.ours ? where_.ours : where_.stock; }

  private:
    arm_devices where_;
    loader load_;
    bool keep_both_;
    model_facts facts_;
    std::optional<model> ours_;
    std::optional<model> stock_;
    std::optional<model> text_;  // only where neither of them stays
};

// Whether a device that has one copy of the weights has room for a second, beside a context of n_ctx tokens.
bool two_models_fit(const model_facts & facts, int64_t n_ctx, size_t bytes_free, size_t bytes_total);

}  // namespace tmx
