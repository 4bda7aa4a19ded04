#include "planner/start/harmful_heads.h"

#include "planner/start/start_search.h"

namespace tmx {
namespace {

// What is given back is dense until an entry takes it, and mostly one does: a head that does that much is worth that.
constexpr double k_shares = 3;

}  // namespace

std::vector<unit> harmful_alone(const std::vector<unit> & units, const kl_alone_of & kl_alone) {
    if (units.empty() || units.front().head < 0) {
        return {};
    }
    const std::vector<std::vector<unit>> layers = units_by_layer(units);
    std::vector<double> kls;
    double sum = 0;
    for (const std::vector<unit> & layer : layers) {
        kls.push_back(kl_alone(layer));
        sum += kls.back();
    }
    const double share = sum / static_cast<double>(units.size());
    std::vector<unit> harmful;
    for (size_t i = 0; i < layers.size(); ++i) {
        if (!(kls[i] > share * static_cast<double>(layers[i].size()))) {
            continue;
        }
        for (const unit & head : layers[i]) {
            if (kl_alone({head}) > k_shares * share) {
                harmful.push_back(head);
            }
        }
    }
    return harmful;
}

size_t expected_lone_trials(const std::vector<unit> & units) {
    constexpr size_t k_one_in = 3;
    return units_by_layer(units).size() + units.size() / k_one_in;
}

}  // namespace tmx
