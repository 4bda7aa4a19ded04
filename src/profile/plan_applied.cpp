#include "profile/plan_applied.h"

#include <fmt/format.h>

#include "probe/section_sums.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

std::string list_of(const std::map<std::string, int64_t> & reasons) {
    std::string text;
    for (const auto & [reason, times] : reasons) {
        text += (text.empty() ? "" : ", ") + reason;
    }
    return text;
}

std::string reasons_of(const backend_statistics & s) {
    std::string text;
    const auto add = [&](const char * what, const std::string & reasons) {
        if (!reasons.empty()) {
            text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", what, reasons);
        }
    };
    add("the plan was refused", s.plan_refused);
    add("computed exactly instead", list_of(s.fallbacks));
    add("left to the GPU's own backend", list_of(s.passed_on));
    if (s.n_whole_graphs > 0) {
        add("left to the GPU's own backend", "whole evaluations, with too few keys or rows or no kernel for them");
    }
    add("not claimed", fmt::format("{}", fmt::join(s.declined, ", ")));
    return text.empty() ? "no reason is known" : text;
}

}  // namespace

std::string reasons_and_remedies(const backend_statistics & s) {
    return fmt::format(
        "{}. docs/backend.md explains the reasons: rows and keys go away with TRIANGLEMIX_MIN_ROWS={} and "
        "TRIANGLEMIX_MIN_KEYS=1 or with longer prompts, others with --precision exact or without --device; where none "
        "helps, the backend cannot accelerate this model here",
        reasons_of(s), TMX_DEFAULT_MIN_ROWS);
}

std::string why_not_applied(const backend_statistics & s, std::span<const unit> set, const model_shape & model,
                            const triangle_shape & shape, int64_t n_tokens) {
    int64_t n_heads = 0;
    for (const unit & u : set) {
        n_heads += u.head < 0 ? model.n_head : 1;
    }
    // Whole numbers below 2^53: exact in the statistics, too.
    const auto wanted = static_cast<double>(n_heads * section_pairs(shape, n_tokens)[index_of(section::middle)]);
    if (s.pairs_skipped == wanted && s.fallbacks.empty() && s.plan_refused.empty()) {
        return "";
    }
    return fmt::format(
        "the backend did not compute the triangle set {} as planned on {} tokens ({:.0f} of {:.0f} pairs skipped), and "
        "measured so it would look harmless. {}",
        format_units(set), n_tokens, s.pairs_skipped, wanted, reasons_and_remedies(s));
}

}  // namespace tmx
