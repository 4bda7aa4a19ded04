// eval/run/arm_sessions.h -- the contexts in which arms compute. Arms that differ in their plan alone share one, so
// that they can take turns on the same examples without being set up anew.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "eval/run/settings.h"
#include "runtime/arm_models.h"

namespace tmx {

class arm_sessions {
  public:
    // n_ctx: tokens of each sequence. What is referred to must outlive it.
    arm_sessions(backend & b, arm_models & models, const eval_settings & settings, int64_t n_ctx);

    // A session that computes as the arm says until another arm is asked for. ERRORS failure, interrupted.
    session & of(const eval_arm & a);

    const model & text() const { return models_.text(); }
    const model & model_of(const eval_arm & a) { return models_.of(a.computed); }
    backend & used_backend() { return backend_; }

    // The prompt into sequence `sequence` of the arm's session, and what the plan did to it.
    // ERRORS failure, also where a Triangle plan that skips pairs of such a prompt was not applied.
    struct prefilled {
        double seconds = 0;
        double kept_share = 1;
        int64_t n_planned = 0;
    };
    prefilled prefill(const eval_arm & a, int32_t sequence, std::span<const token_id> ids,
                      const std::function<void(int64_t)> & progress);

  private:
    backend & backend_;
    arm_models & models_;
    const eval_settings & settings_;
    int64_t n_ctx_;
    std::map<std::string, std::unique_ptr<session>> sessions_;  // by what else differs
    bool ours_ = true;                                          // of the last one that was asked for
};

}  // namespace tmx
