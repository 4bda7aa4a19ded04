#include "planner/start/start_search.h"

#include <algorithm>

namespace tmx {
namespace {

using unit_list = std::vector<unit>;

// Units of one layer, and what giving back all of them, and nothing else, takes off the harm.
struct gain_of_units {
    unit_list units;
    double gain = 0;
};

// Those that gain anything, descending.
void sort_gains(std::vector<gain_of_units> & gains) {
    std::erase_if(gains, [](const gain_of_units & g) { return !(g.gain > 0); });
    std::stable_sort(gains.begin(), gains.end(),
                     [](const gain_of_units & a, const gain_of_units & b) { return a.gain > b.gain; });
}

class searching {
  public:
    searching(double target, const start_effect_of & effect_of) : target_(target), effect_of_(effect_of) {
        found_.after = measure({});
    }

    bool done() const { return found_.after.first_kl <= target_; }
    start_search & found() { return found_; }

    gain_of_units gain_of(const unit_list & units) { return {units, found_.before().harm - measure(units).harm}; }

    // Of the heads of the layers that are worth a look at each. layers: descending.
    std::vector<gain_of_units> gains_of_heads(const std::vector<gain_of_units> & layers) {
        constexpr double k_margin = 2;  // what layers gain together may be less than their gains' sum
        const double needed = found_.before().harm * (1 - target_ / found_.before().first_kl);
        std::vector<gain_of_units> gains;
        double looked_at = 0;
        for (size_t i = 0; i < std::min(layers.size(), k_most_layers_by_head) && looked_at < k_margin * needed; ++i) {
            for (const unit & head : layers[i].units) {
                gains.push_back(gain_of({head}));
            }
            looked_at += layers[i].gain;
        }
        return gains;
    }

    // In their order, until done.
    void give_back(const std::vector<gain_of_units> & gains) {
        for (size_t i = 0; i < gains.size() && !done(); ++i) {
            unit_list all;
            std::set_union(found_.given_back.begin(), found_.given_back.end(), gains[i].units.begin(),
                           gains[i].units.end(), std::back_inserter(all));
            const start_effect effect = measure(all);
            if (effect.harm < found_.after.harm) {
                found_.given_back = std::move(all);
                found_.after = effect;
            }
        }
    }

  private:
    double target_;
    const start_effect_of & effect_of_;
    start_search found_;

    start_effect measure(const unit_list & given_back) {
        const auto known = std::find_if(found_.tried.begin(), found_.tried.end(),
                                        [&](const start_trial & t) { return t.given_back == given_back; });
        if (known != found_.tried.end()) {
            return known->effect;
        }
        found_.tried.push_back({given_back, effect_of_(given_back)});
        return found_.tried.back().effect;
    }
};

}  // namespace

std::vector<std::vector<unit>> units_by_layer(const std::vector<unit> & units) {
    std::vector<unit_list> layers;
    for (const unit & u : units) {
        if (layers.empty() || layers.back().front().layer != u.layer) {
            layers.emplace_back();
        }
        layers.back().push_back(u);
    }
    return layers;
}

start_search search_start(const std::vector<unit> & units, double target, const start_effect_of & effect_of) {
    searching search(target, effect_of);
    if (search.done()) {
        return search.found();
    }
    std::vector<gain_of_units> layers;
    for (const unit_list & layer : units_by_layer(units)) {
        layers.push_back(search.gain_of(layer));
    }
    sort_gains(layers);
    std::vector<gain_of_units> heads = search.gains_of_heads(layers);
    sort_gains(heads);
    search.give_back(heads);
    search.give_back(layers);
    return search.found();
}

settled_start settle_start(const std::vector<unit> & units, double share, double budget,
                           const start_effect_of & effect_of,
                           const std::function<double(const std::vector<unit> & given_back)> & held_out_kl) {
    constexpr int k_most_halvings = 3;
    settled_start settled;
    double target = share * budget;
    for (int n_halved = 0;; ++n_halved) {
        settled.search = search_start(units, target, effect_of);
        const double first_kl = settled.search.after.first_kl;
        const bool within = first_kl <= budget;
        const bool agreed = within && held_out_kl(settled.search.given_back) <= budget;
        settled.verdict = agreed   ? start_verdict::good
                          : within ? start_verdict::beyond_on_held_out
                                   : start_verdict::beyond_on_choosing;
        if (agreed || !within || n_halved == k_most_halvings) {
            return settled;
        }
        target = std::min(target, first_kl) / 2;
    }
}

size_t most_start_trials(const std::vector<unit> & units) {
    std::vector<size_t> sizes;
    for (const unit_list & layer : units_by_layer(units)) {
        sizes.push_back(layer.size());
    }
    std::sort(sizes.rbegin(), sizes.rend());
    size_t n = 1 + 2 * sizes.size();  // the start; layers alone, and in company
    for (size_t i = 0; i < std::min(sizes.size(), k_most_layers_by_head); ++i) {
        n += 2 * sizes[i];  // heads alone, and in company
    }
    return n;
}

}  // namespace tmx
