#include "profile/selection.h"

#include <algorithm>
#include <numeric>

namespace tmx {
namespace {

// Steps back from a set that broke the budget: single layers; heads are many, so some at a time.
constexpr int64_t k_most_steps = 32;

class chooser {
  public:
    chooser(const ordered_units & order, const set_kl & measure) : order_(order), measure_(measure) {}

    double kl(int64_t size, bool held_out) {
        const double value =
            size == 0 ? 0.0 : measure_(std::span(order_.units).first(static_cast<size_t>(size)), held_out);
        if (size > 0) {
            result.measured.push_back({size, held_out, value});
        }
        return value;
    }

    int64_t largest_within(double budget) {
        int64_t within = 0;
        auto beyond = static_cast<int64_t>(order_.units.size()) + 1;
        while (beyond - within > 1) {
            const int64_t middle = within + (beyond - within) / 2;
            (kl(middle, false) <= budget ? within : beyond) = middle;
        }
        return within;
    }

    selection result;

  private:
    const ordered_units & order_;
    const set_kl & measure_;
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
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return scores[a] != scores[b] ? scores[a] < scores[b] : units[a] < units[b]; });
    ordered_units result;
    for (const size_t i : order) {
        result.units.push_back(units[i]);
        result.scores.push_back(scores[i]);
    }
    return result;
}

selection choose(const ordered_units & order, choose_by how, double value, bool has_held_out, const set_kl & measure) {
    chooser c(order, measure);
    const auto n_units = static_cast<int64_t>(order.units.size());
    if (how != choose_by::kl_budget) {
        const auto by_threshold =
            std::count_if(order.scores.begin(), order.scores.end(), [&](double score) { return score <= value; });
        c.result.size = how != choose_by::threshold ? std::clamp<int64_t>(static_cast<int64_t>(value), 0, n_units)
                                                    : static_cast<int64_t>(by_threshold);
        if (has_held_out) {
            c.kl(c.result.size, true);
        }
        c.result.checked = has_held_out;
        return c.result;
    }
    c.result.size = c.largest_within(value);
    if (has_held_out) {
        const int64_t step = (n_units + k_most_steps - 1) / k_most_steps;
        while (c.kl(c.result.size, true) > value) {
            c.result.size = std::max<int64_t>(c.result.size - step, 0);
        }
        c.result.checked = true;
    }
    return c.result;
}

}  // namespace tmx
