#include "eval/run/arm_sessions.h"

#include <fmt/core.h>

#include "eval/example.h"
#include "runtime/failure.h"
#include "runtime/statistics.h"

namespace tmx {

arm_sessions::arm_sessions(backend & b, arm_models & models, const eval_settings & settings, int64_t n_ctx)
    : backend_(b), models_(models), settings_(settings), n_ctx_(n_ctx) {}

session & arm_sessions::of(const eval_arm & a) {
    if (a.computed.ours != ours_ && !models_.keeps_both()) {
        sessions_.clear();
    }
    ours_ = a.computed.ours;
    const context_options & context = a.computed.context;
    const std::string key = fmt::format("{} {} {} {} {}", a.computed.ours, a.computed.precision, context.n_ubatch,
                                        context.flash_attention, static_cast<int>(context.kv));
    std::unique_ptr<session> & opened = sessions_[key];
    if (!opened) {
        arm wanted = a.computed;
        wanted.context.n_ctx = static_cast<int32_t>(n_ctx_);
        wanted.context.n_sequences = settings_.n_together;
        wanted.context.stop = settings_.stop;
        opened = open_arm(backend_, models_.of(a.computed), wanted);
    }
    if (backend_.loaded()) {
        backend_.set_enabled(a.computed.ours);
        if (a.computed.ours) {
            backend_.set_plan(opened->backend_context(), a.computed.plan_json);
        }
    }
    return *opened;
}

arm_sessions::prefilled arm_sessions::prefill(const eval_arm & a, int32_t sequence, std::span<const token_id> ids,
                                              const std::function<void(int64_t)> & progress) {
    session & s = of(a);
    s.choose(sequence);
    const bool counted = backend_.loaded() && a.computed.ours;
    if (counted) {
        backend_.reset_statistics(s.backend_context());
    }
    prefilled done;
    done.seconds = prefill_arm(backend_, a.computed, s, ids, progress).seconds;
    if (!counted || a.computed.plan_json.empty()) {
        return done;
    }
    const backend_statistics statistics = parse_statistics(backend_.statistics(s.backend_context()));
    done.kept_share = statistics.kept_share();
    done.n_planned = statistics.n_planned;
    if (!statistics.plan_refused.empty()) {
        throw failure(fmt::format("arm {}: the plan was refused: {}", a.name, statistics.plan_refused));
    }
    const auto n_tokens = static_cast<int64_t>(ids.size());
    if (a.applied.any_triangle() && statistics.n_planned == 0 && sparse_fraction(n_tokens) > 0) {
        throw failure(fmt::format(
            "arm {}: the plan was applied to no layer of a prompt of {} tokens, so two dense runs would be compared "
            "(fallbacks: {})",
            a.name, n_tokens, statistics.fallback_text()));
    }
    return done;
}

}  // namespace tmx
