#include "planner/start/start_stage.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <limits>

#include "planner/lone_runs.h"
#include "planner/start/harmful_heads.h"
#include "profile/unit_set.h"

namespace tmx {
namespace {

class settling {
  public:
    settling(planner_settings & settings, mix_runs & runs, int32_t n_layer, const std::vector<prompt_group> & choosing,
             const std::vector<prompt_group> & held_out)
        : settings_(settings),
          runs_(runs),
          nothing_(mix_of(n_layer, {}, k_dense)),
          choosing_(choosing),
          held_out_(held_out),
          outcome_{*settings.start, {}} {}

    start_outcome run() {
        const settled_start settled = settle_start(
            units_of(outcome_.whole), settings_.start_share, settings_.budget(),
            [&](const std::vector<unit> & given_back) { return effect_of(given_back); },
            [&](const std::vector<unit> & given_back) { return held_out_kl(given_back); });
        outcome_.search = settled.search;
        take_off(outcome_.search.given_back);
        if (settled.verdict != start_verdict::good) {
            throw failure(beyond_budget(settled.verdict == start_verdict::beyond_on_choosing ? "choose" : "check"));
        }
        if (settings_.base.per_head && outcome_.search.after.first_kl > share() / 2) {
            give_back_harmful();
        }
        return outcome_;
    }

  private:
    planner_settings & settings_;
    mix_runs & runs_;
    layer_mix nothing_;
    const std::vector<prompt_group> &choosing_, &held_out_;
    start_outcome outcome_;

    double share() const { return settings_.start_share * settings_.budget(); }

    void take_off(const std::vector<unit> & given_back) { settings_.start = start_without(outcome_.whole, given_back); }

    // Of the start as settings have it, on all of the prompts whatever the budget.
    std::vector<mix_effect> effects_on(const std::vector<prompt_group> & groups, const std::string & what) {
        return runs_.run_within("start", {nothing_, 0, what}, groups, std::numeric_limits<double>::infinity());
    }

    start_effect effect_of(const std::vector<unit> & given_back) {
        take_off(given_back);
        const std::vector<mix_effect> effects = effects_on(choosing_, text_of_start(outcome_.whole, given_back));
        start_effect e;
        e.first_kl = worst_mean(choosing_, [&](size_t i) { return effects[i].effect.distance.first_kl; });
        for (const mix_effect & each : effects) {
            const fidelity & distance = each.effect.distance;
            e.harm += (distance.first_kl + distance.following_kl) / static_cast<double>(effects.size());
        }
        return e;
    }

    // Anything beyond the budget once it is known to be beyond it.
    double held_out_kl(const std::vector<unit> & given_back) {
        take_off(given_back);
        const std::vector<mix_effect> effects = runs_.run_within(
            "start", {nothing_, 0, text_of_start(outcome_.whole, given_back)}, held_out_, settings_.budget());
        return effects.size() < prompts_of(held_out_).size()
                   ? std::numeric_limits<double>::infinity()
                   : worst_mean(held_out_, [&](size_t i) { return effects[i].effect.distance.first_kl; });
    }

    // What is left keeps the budget, but some of its heads may do more than they are worth. Their KL alone says which,
    // without the noise that differences in company have. But heads also undo what others do: those stay without which
    // the answers are further from dense.
    void give_back_harmful() {
        std::vector<unit> & given_back = outcome_.search.given_back;
        const start_plan left = *settings_.start;
        const std::vector<prompt_group> half =
            runs_.half_that_tells(choosing_, effects_on(choosing_, text_of_start(outcome_.whole, given_back)));
        const std::vector<unit> harmful = harmful_alone(units_of(left), [&](const std::vector<unit> & units) {
            settings_.start = start_of_only(left, units);
            return damage_of(half, effects_on(half, "alone " + format_units(units))).mean_kl;
        });
        settings_.start = left;
        if (harmful.empty()) {
            return;
        }
        std::vector<unit> all;
        std::set_union(given_back.begin(), given_back.end(), harmful.begin(), harmful.end(), std::back_inserter(all));
        const start_effect effect = effect_of(all);
        const bool good =
            effect.first_kl < outcome_.search.after.first_kl && held_out_kl(all) <= held_out_kl(given_back);
        outcome_.search.tried.push_back({all, effect});
        if (good) {
            given_back = all;
            outcome_.search.after = effect;
        }
        take_off(given_back);
    }

    std::string beyond_budget(const char * on) const {
        const std::string without =
            outcome_.search.given_back.empty() ? "" : ", even without its " + text_of_given_back(outcome_);
        return fmt::format("--start {} alone is beyond the budget on the prompts that {}{}", outcome_.whole.file, on,
                           without);
    }
};

}  // namespace

std::string text_of_given_back(const start_outcome & o) {
    const std::vector<unit> & units = o.search.given_back;
    return (!units.empty() && units.front().head < 0 ? "layers " : "heads ") + format_units(units);
}

double weight_of_start(const planner_settings & settings, const mix_runs & runs,
                       const std::vector<prompt_group> & choosing, const std::vector<prompt_group> & held_out) {
    if (!settings.start) {
        return 0;
    }
    const std::vector<unit> units = units_of(*settings.start);
    const double alone = settings.base.per_head ? static_cast<double>(expected_lone_trials(units)) / 2 : 0;
    return (static_cast<double>(most_start_trials(units)) + alone) * runs.weight_of(choosing) +
           runs.weight_of(held_out);
}

start_outcome measure_start(planner_settings & settings, mix_runs & runs, int32_t n_layer,
                            const std::vector<prompt_group> & choosing, const std::vector<prompt_group> & held_out) {
    return settling(settings, runs, n_layer, choosing, held_out).run();
}

}  // namespace tmx
