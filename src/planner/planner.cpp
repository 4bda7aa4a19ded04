#include "planner/planner.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "measure/hash.h"
#include "measure/stage_clock.h"
#include "planner/entry_times.h"
#include "planner/lone_choices.h"
#include "planner/mix_runs.h"
#include "planner/plan_of_result.h"
#include "planner/start/start_stage.h"
#include "profile/run_estimate.h"
#include "runtime/weight_types.h"

namespace tmx {
namespace {

// Leaves out next to nothing, and rounds otherwise than dense: what any change does that does no harm.
constexpr const char * k_control = "means:keep=0.95";

// Of a combination, added up, in budgets: what adds up to more is not measured on the longest prompts.
constexpr double k_most_damage = 4;

damage damage_of(const std::vector<prompt_group> & groups, const std::vector<fidelity> & on) {
    damage d;
    d.measured = true;
    d.first_kl = worst_mean(groups, [&](size_t prompt) { return on[prompt].first_kl; });
    d.following_kl = worst_mean(groups, [&](size_t prompt) { return on[prompt].following_kl; });
    d.mean_kl = worst_mean(groups, [&](size_t prompt) { return on[prompt].mean_kl(); });
    return d;
}

std::vector<int32_t> candidates(const model_facts & facts) {
    std::vector<int32_t> layers;
    for (const unit & u : all_units(shape_of(facts), false, facts.windows)) {
        layers.push_back(u.layer);
    }
    return layers;
}

class planner_run {
  public:
    planner_run(const planner_settings & settings, backend & b, const model & m, const prompt_pool & prompts,
                const progress_sink & told)
        : settings_(settings),
          clock_(told),
          prompts_(prompts),
          records_(settings.base.record_path),
          model_sha256_(sha256_of_file(settings.base.model_path)),
          keys_(settings.base, model_sha256_, arithmetic_of(b)),
          stage_(settings_, keys_, b, m, prompts, records_),
          runs_(stage_, clock_, prompts),
          has_floors_(any_quantised(settings.base.model_path)) {
        result_.facts = m.facts();
        result_.model_sha256 = model_sha256_;
        result_.choosing = group_prompts(prompts, false);
        result_.held_out = group_prompts(prompts, true);
        result_.layers = candidates(m.facts());
        result_.n_prompts = static_cast<int64_t>(prompts.numbers(false).size());
        result_.n_on_file = static_cast<int64_t>(records_.n_found());
        result_.measured_up_to = result_.held_out.back().n_tokens;
        // Those that are measured with single layers first: the shortest, and the user's own.
        for (const prompt_group & group : result_.choosing) {
            const bool own = group.length == 0;
            (own || &group == &result_.choosing.front() ? short_ : others_).push_back(group);
        }
    }

    planner_result run() {
        foresee();
        settle_on_start();
        leave_out_what_fails();
        measure_everywhere();
        predict_times();
        measure_floors();
        result_.mix = search_in(measure_choices());
        const bool compare = n_entries() > 1 && !settings_.base.quick && !settings_.plan_only && !settings_.start;
        if (const int32_t entry = plain_triangle(); entry >= 0 && compare) {
            measure_triangle(static_cast<size_t>(entry));
            result_.triangle = search_in(only(table_of(result_, settings_.aim), entry));
        }
        result_.value = plan_of_result(settings_, result_);
        return std::move(result_);
    }

  private:
    planner_settings settings_;  // its menu loses what cannot be computed here, and has the control behind its end; its
                                 // start loses what is given back
    run_clock clock_;
    const prompt_pool & prompts_;
    record_store records_;
    std::string model_sha256_;
    record_keys keys_;
    mix_stage stage_;
    mix_runs runs_;
    std::vector<prompt_group> short_, others_;  // of the prompts that choose
    bool has_floors_;
    double start_weight_ = 0;  // foreseen
    planner_result result_;

    size_t n_entries() const { return result_.menu.size(); }

    // What is going to be done, as far as it is known: that half of the choices are not measured is a guess, and that
    // most of a search's tries end with the shortest prompts.
    void foresee() {
        const auto n_layers = static_cast<double>(result_.layers.size());
        const auto n_menu = static_cast<double>(settings_.menu.size());
        const double all = runs_.weight_of(result_.choosing);
        const double alone = ((has_floors_ ? 1 : 0) + n_menu / 2) * n_layers * runs_.weight_of(short_) +
                             (others_.empty() ? 0 : n_menu / 4 * n_layers * runs_.weight_of({others_.back()}));
        const double bisection = std::ceil(std::log2(n_layers * n_menu + 1)) * all;
        const double search = bisection + n_layers * all / 2 + 2 * runs_.weight_of(result_.held_out);
        start_weight_ = weight_of_start(settings_, runs_, result_.choosing, result_.held_out);
        clock_.expect(work_kind::prefill, start_weight_ + (n_menu + 1) * all + alone + 2 * search);
        const std::string what = fmt::format(
            "{} entries in {} layers, {} prompts that choose, {} that check, of up to {} tokens{}",
            settings_.menu.size(), result_.layers.size(), result_.n_prompts, prompts_of(result_.held_out).size(),
            std::max(result_.choosing.back().n_tokens, result_.held_out.back().n_tokens),
            result_.n_on_file > 0 ? ", less what is on file" : "");
        clock_.announce(what, stage_clock::weight_of(prompts_.n_tokens(0)), stage_.seconds_of_prefill());
    }

    measured_mix measure(const std::string & name, const layer_mix & mix, bool held_out, double budget) {
        const std::vector<prompt_group> & groups = held_out ? result_.held_out : result_.choosing;
        measured_mix measured;
        measured.mix = mix;
        measured.held_out = held_out;
        measured.effects = runs_.run_within(name, {mix, 0, text_of(mix, settings_.menu)}, groups, budget);
        const bool all = measured.effects.size() == prompts_of(groups).size();
        measured.worst_kl =
            !all ? std::numeric_limits<double>::infinity()
                 : worst_mean(groups, [&](size_t i) { return measured.effects[i].effect.distance.first_kl; });
        return measured;
    }

    // A search never measures what it starts from. What was foreseen for this and is not needed is not waited for.
    void settle_on_start() {
        if (settings_.start) {
            const double before = clock_.expected();
            result_.start = measure_start(settings_, runs_, result_.facts.n_layer, result_.choosing, result_.held_out);
            clock_.begin(work_kind::prefill, std::max(start_weight_ - (before - clock_.expected()), 0.0));
        }
    }

    layer_mix everywhere(size_t entry) const {
        return mix_of(result_.facts.n_layer, result_.layers, static_cast<int32_t>(entry));
    }

    void try_everywhere(size_t entry) {
        runs_.run("methods", {{everywhere(entry), result_.choosing.front().prompts.front(), menu_text(entry)}});
    }

    // Some methods cannot treat every model, or have no form for this device. ERRORS not_applied: that is so of all.
    void leave_out_what_fails() {
        std::optional<not_applied> problem;
        for (size_t entry = 0; entry < settings_.menu.size(); ++entry) {
            try {
                try_everywhere(entry);
                result_.menu.push_back(settings_.menu[entry]);
            } catch (const not_applied & error) {
                problem = problem ? problem : error;
                result_.left_out.push_back(menu_text(entry) + " is left out: " + error.what());
            }
        }
        if (result_.menu.empty()) {
            throw not_applied(*problem);
        }
        settings_.menu = result_.menu;
    }

    const std::string & menu_text(size_t entry) const { return settings_.menu[entry].text; }

    // Mean over all positions, of prompts that choose.
    double kl_of_start(const std::vector<prompt_group> & groups) const {
        const std::vector<size_t> all = prompts_of(result_.choosing);
        const std::vector<size_t> asked = prompts_of(groups);
        return worst_mean(groups, [&](size_t i) {
            const auto place = std::find(all.begin(), all.end(), asked[i]) - all.begin();
            return result_.dense.effects[static_cast<size_t>(place)].effect.distance.mean_kl();
        });
    }

    void measure_everywhere() {
        const double any = std::numeric_limits<double>::infinity();
        result_.dense = measure("dense", mix_of(result_.facts.n_layer, {}, k_dense), false, any);
        result_.start_grows = others_.empty() ? 0 : kl_of_start({others_.back()}) - kl_of_start(short_);
        for (size_t entry = 0; entry < n_entries(); ++entry) {
            result_.everywhere.push_back(measure("methods", everywhere(entry), false, any));
        }
    }

    void predict_times() {
        const bool on_cpu = settings_.base.device.empty();
        const std::span<const mix_effect> dense = at_longest(result_, result_.dense);
        result_.choices.assign(result_.layers.size(), std::vector<measured_choice>(n_entries()));
        for (size_t entry = 0; entry < n_entries(); ++entry) {
            const std::span<const mix_effect> sparse = at_longest(result_, result_.everywhere[entry]);
            std::vector<time_pair> times;
            for (size_t i = 0; i < dense.size(); ++i) {
                times.push_back({dense[i].layers, sparse[i].layers, dense[i].effect.seconds, sparse[i].effect.seconds});
            }
            const std::vector<double> saved = saved_by_layer(times, result_.layers, on_cpu);
            const std::vector<double> kept = kept_by_layer(times, result_.layers, &time_pair::sparse);
            const std::vector<double> at_start = kept_by_layer(times, result_.layers, &time_pair::dense);
            for (size_t i = 0; i < result_.layers.size(); ++i) {
                result_.choices[i][entry].saved = saved[i];
                result_.choices[i][entry].kept_share = kept[i];
                result_.choices[i][entry].start_share = at_start[i];
            }
        }
    }

    // [contexts][questions]: the groups' prompts.
    std::vector<std::vector<size_t>> contexts_of(const std::vector<prompt_group> & groups) const {
        std::vector<std::vector<size_t>> contexts;
        for (const size_t prompt : prompts_of(groups)) {
            if (prompts_.specs()[prompt].question == 0) {
                contexts.emplace_back();
            }
            contexts.back().push_back(prompt);
        }
        return contexts;
    }

    // [list][prompts of the groups]. Context by context: each one's dense answers are needed once.
    std::vector<std::vector<fidelity>> run_alone(const std::string & name, const std::vector<prompt_group> & groups,
                                                 const std::vector<lone_choice> & list) {
        std::vector<mix_job> jobs;
        std::vector<size_t> of_job;  // number in the list
        for (const std::vector<size_t> & context : contexts_of(groups)) {
            for (size_t i = 0; i < list.size(); ++i) {
                const int32_t number = result_.layers[list[i].layer];
                const layer_mix mix = mix_of(result_.facts.n_layer, {&number, 1}, static_cast<int32_t>(list[i].entry));
                for (const size_t prompt : context) {
                    jobs.push_back({mix, prompt, fmt::format("{} alone {}", number, menu_text(list[i].entry))});
                    of_job.push_back(i);
                }
            }
        }
        const std::vector<mix_effect> effects = runs_.run(name, jobs);
        std::vector<std::vector<fidelity>> rows(list.size());
        for (size_t i = 0; i < effects.size(); ++i) {
            rows[of_job[i]].push_back(effects[i].effect.distance);
        }
        return rows;
    }

    void measure_alone(const std::string & name, const std::vector<prompt_group> & groups,
                       const std::vector<lone_choice> & list, damage measured_choice::*where) {
        const std::vector<std::vector<fidelity>> rows = run_alone(name, groups, list);
        for (size_t i = 0; i < list.size(); ++i) {
            result_.choices[list[i].layer][list[i].entry].*where = damage_of(groups, rows[i]);
        }
    }

    // Where activations are not rounded to 8 bits, a change that leaves out next to nothing does what the start does. A
    // model that the control cannot treat has no floors.
    void measure_floors() {
        result_.floors.assign(result_.layers.size(), has_floors_ ? 0 : kl_of_start(short_));
        if (!has_floors_) {
            return;
        }
        settings_.menu.push_back(parse_menu(k_control, settings_.base.shape, true).front());
        const size_t control = settings_.menu.size() - 1;
        std::vector<lone_choice> list;
        for (size_t layer = 0; layer < result_.layers.size(); ++layer) {
            list.push_back({layer, control});
        }
        try {
            try_everywhere(control);
        } catch (const not_applied &) {
            return;
        }
        const std::vector<std::vector<fidelity>> rows = run_alone("floors", short_, list);
        for (size_t layer = 0; layer < rows.size(); ++layer) {
            result_.floors[layer] = damage_of(short_, rows[layer]).mean_kl;
        }
    }

    // What is harmless in the shortest prompts need not be in the longest; then its layer is offered others, too.
    choice_table measure_choices() {
        for (;;) {
            measure_at_shortest();
            choice_table table = table_of(result_, settings_.aim);
            drop_useless(table, settings_.budget());
            const std::vector<lone_choice> list =
                others_.empty() ? std::vector<lone_choice>()
                                : next_at_long(result_, table, k_most_damage * settings_.budget());
            if (list.empty()) {
                return table;
            }
            measure_alone("longest", {others_.back()}, list, &measured_choice::at_long);
        }
    }

    void measure_at_shortest() {
        for (;;) {
            const std::vector<lone_choice> list = next_choices(result_, settings_.aim, settings_.budget());
            if (list.empty()) {
                return;
            }
            measure_alone("layers", short_, list, &measured_choice::at_short);
        }
    }

    // For the search that has nothing else, in layers where something else was harmless, too.
    void measure_triangle(size_t entry) {
        std::vector<lone_choice> list;
        for (size_t layer = 0; layer < result_.layers.size(); ++layer) {
            const measured_choice & choice = result_.choices[layer][entry];
            if (!choice.at_short.measured && saving_of(choice, settings_.aim) > 0) {
                list.push_back({layer, entry});
            }
        }
        measure_alone("layers", short_, list, &measured_choice::at_short);
    }

    static choice_table only(choice_table table, int32_t entry) {
        for (std::vector<choice_cost> & layer : table) {
            for (size_t i = 0; i < layer.size(); ++i) {
                layer[i].offered = layer[i].offered && static_cast<int32_t>(i) == entry;
            }
        }
        return table;
    }

    int32_t plain_triangle() const {
        for (size_t entry = 0; entry < n_entries(); ++entry) {
            if (settings_.menu[entry].n_window > 0 && !settings_.menu[entry].rule) {
                return static_cast<int32_t>(entry);
            }
        }
        return -1;
    }

    planner_search search_in(const choice_table & table) {
        planner_search s;
        s.frontier = make_frontier(table);
        s.found = search_mix(table, settings_.budget(), [&](const combination & c, bool held_out) {
            measured_mix m =
                measure(held_out ? "checked" : "tried", mix_of_combination(result_, c), held_out, settings_.budget());
            const double kl = m.worst_kl;
            if (kl <= settings_.budget()) {
                s.measured.push_back(std::move(m));
            }
            return kl;
        });
        return s;
    }
};

}  // namespace

planner_result run_planner(const planner_settings & settings, backend & b, const model & m, const prompt_pool & prompts,
                           const progress_sink & sink) {
    return planner_run(settings, b, m, prompts, sink).run();
}

}  // namespace tmx
