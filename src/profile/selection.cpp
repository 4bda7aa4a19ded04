#include "profile/selection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace tmx {
namespace {

// Steps back from a set of heads that broke the budget.
constexpr int64_t k_most_steps = 32;

using size_kl = std::function<double(int64_t size, bool held_out)>;

class size_chooser {
  public:
    explicit size_chooser(const size_kl & measure) : measure_(measure) {}

    double kl(int64_t size, bool held_out) {
        const double value = size == 0 ? 0.0 : measure_(size, held_out);
        if (size > 0) {
            result.measured.push_back({size, held_out, value});
        }
        return value;
    }

    // A size that is within the budget, and the next is not. REQUIRES `within` to be so, and `beyond` not.
    int64_t bisect(int64_t within, int64_t beyond, double budget, bool held_out) {
        while (beyond - within > 1) {
            const int64_t middle = within + (beyond - within) / 2;
            (kl(middle, held_out) <= budget ? within : beyond) = middle;
        }
        return within;
    }

    int64_t step_back(int64_t size, int64_t step, double budget) {
        int64_t beyond = size + 1;
        while (!(kl(size, true) <= budget)) {
            beyond = size;
            size = std::max<int64_t>(size - step, 0);
        }
        // Where the first size agreed there is nothing between it and the one beyond it.
        return bisect(size, beyond, budget, true);
    }

    selection result;

  private:
    const size_kl & measure_;
};

}  // namespace

const char * name_of(choose_by how) {
    switch (how) {
        case choose_by::given:
            return "given";
        case choose_by::count:
            return "count";
        case choose_by::threshold:
            return "threshold";
        case choose_by::kl_budget:
            return "kl_budget";
    }
    return "?";
}

ordered_units order_units(const std::vector<unit> & units, const std::vector<double> & scores) {
    std::vector<size_t> order(units.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto rank = [&](size_t i) {
        return std::pair(std::isnan(scores[i]) ? std::numeric_limits<double>::infinity() : scores[i], units[i]);
    };
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rank(a) < rank(b); });
    ordered_units result;
    for (const size_t i : order) {
        result.units.push_back(units[i]);
        result.scores.push_back(scores[i]);
    }
    return result;
}

selection choose_size(int64_t n_sizes, int64_t step, double budget, bool has_held_out, const size_kl & kl) {
    size_chooser c(kl);
    c.result.size = c.bisect(0, n_sizes + 1, budget, false);
    if (has_held_out) {
        c.result.size = c.step_back(c.result.size, step, budget);
        c.result.checked = true;
    }
    return c.result;
}

selection choose(const ordered_units & order, choose_by how, double value, bool has_held_out, const set_kl & measure) {
    const size_kl kl = [&](int64_t size, bool held_out) {
        return measure(std::span(order.units).first(static_cast<size_t>(size)), held_out);
    };
    const auto n_units = static_cast<int64_t>(order.units.size());
    if (how == choose_by::kl_budget) {
        const bool heads = n_units > 0 && order.units.front().head >= 0;
        const int64_t step = heads ? (n_units + k_most_steps - 1) / k_most_steps : 1;
        return choose_size(n_units, step, value, has_held_out, kl);
    }
    size_chooser c(kl);
    const auto by_threshold =
        std::count_if(order.scores.begin(), order.scores.end(), [&](double score) { return score <= value; });
    c.result.size = how != choose_by::threshold ? static_cast<int64_t>(value) : static_cast<int64_t>(by_threshold);
    if (has_held_out) {
        c.kl(c.result.size, true);
    }
    c.result.checked = has_held_out;
    return c.result;
}

}  // namespace tmx
