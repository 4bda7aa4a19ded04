#include "eval/tasks/fit_budget.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "runtime/failure.h"

namespace tmx {
namespace {

struct probe {
    int64_t units = 0;
    int64_t tokens = 0;
    eval_example made;
};

}  // namespace

eval_example fit_units(const example_request & request, const unit_limits & limits,
                       const std::function<eval_example(int64_t units)> & build) {
    const auto measure = [&](int64_t units) {
        probe p;
        p.units = units;
        p.made = build(units);
        p.tokens = request.tokens.count_prompt(p.made) + p.made.max_new_tokens;
        return p;
    };
    probe best = measure(limits.least);
    if (best.tokens > request.budget) {
        throw failure(fmt::format("{}/{} needs at least {} tokens, so nothing can be made for a length of {}",
                                  best.made.suite, best.made.task, best.tokens, request.budget));
    }
    const int64_t most = limits.most > 0 ? limits.most : std::numeric_limits<int64_t>::max() / 2;
    int64_t too_many = most + 1;  // units that are known, or taken, not to fit
    double per_unit = limits.per_unit;
    while (too_many - best.units > 1) {
        const auto room = static_cast<double>(request.budget - best.tokens);
        if (room <= 0.005 * static_cast<double>(request.budget) && room < 16 * per_unit) {
            break;
        }
        // A little short of where the slope so far ends, so that the next probe likely fits.
        const auto step = static_cast<int64_t>(std::max(1.0, room / per_unit - 0.5));
        const probe next = measure(std::min(best.units + step, too_many - 1));
        if (next.tokens > best.tokens) {
            per_unit = static_cast<double>(next.tokens - best.tokens) / static_cast<double>(next.units - best.units);
        }
        if (next.tokens <= request.budget) {
            best = next;
        } else {
            too_many = next.units;
        }
    }
    return best.made;
}

}  // namespace tmx
