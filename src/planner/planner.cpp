#include "planner/planner.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "measure/hash.h"
#include "measure/stage_clock.h"
#include "planner/entry_times.h"
#include "planner/heads/head_choices.h"
#include "planner/lone_choices.h"
#include "planner/lone_runs.h"
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
          lone_(settings_, runs_, prompts),
          has_floors_(any_quantised(settings.base.model_path)) {
        result_.facts = m.facts();
        result_.model_sha256 = model_sha256_;
        result_.choosing = group_prompts(prompts, false);
        result_.held_out = group_prompts(prompts, true);
        result_.layers = candidates(m.facts());
        result_.n_prompts = static_cast<int64_t>(prompts.numbers(false).size());
        result_.n_on_file = static_cast<int64_t>(records_.n_found());
        result_.measured_up_to = result_.held_out.back().n_tokens;
        measure_alone_on(result_.choosing);
    }

    planner_result run() {
        foresee();
        settle_on_start();
        leave_out_what_fails();
        measure_everywhere();
        predict_times();
        if (settings_.base.per_head) {
            measure_alone_on(runs_.half_that_tells(result_.choosing, result_.everywhere.back().effects));
        }
        measure_floors();
        choice_table table = measure_choices();
        if (settings_.base.per_head) {
            look_at_heads(table);
        }
        result_.mix = search_in(table);
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
    lone_runs lone_;
    // Of the prompts that choose those that single layers and heads are measured on: the shortest with the user's own,
    // which come first, and others.
    std::vector<prompt_group> short_, others_;
    bool has_floors_;
    double start_weight_ = 0;  // foreseen
    planner_result result_;

    size_t n_entries() const { return result_.menu.size(); }

    void measure_alone_on(const std::vector<prompt_group> & groups) {
        short_.clear();
        others_.clear();
        for (const prompt_group & group : groups) {
            const bool own = group.length == 0;
            (own || &group == &groups.front() ? short_ : others_).push_back(group);
        }
    }

    // What is going to be done, as far as it is known: that half of the choices are not measured is a guess, that a
    // quarter of all heads is, and that most of a search's tries end with the shortest prompts.
    void foresee() {
        const auto n_layers = static_cast<double>(result_.layers.size());
        const auto n_menu = static_cast<double>(settings_.menu.size());
        const double all = runs_.weight_of(result_.choosing);
        const double alone = ((has_floors_ ? 1 : 0) + n_menu / 2) * n_layers * runs_.weight_of(short_) +
                             (others_.empty() ? 0 : n_menu / 4 * n_layers * runs_.weight_of({others_.back()}));
        const double bisection = std::ceil(std::log2(n_layers * n_menu + 1)) * all;
        const double search = bisection + n_layers * all / 2 + 2 * runs_.weight_of(result_.held_out);
        const double part = settings_.base.per_head ? 0.5 : 1;  // of the contexts, for what is alone
        const double heads = settings_.base.per_head ? n_layers * result_.facts.n_head / 4 * part * all : 0;
        start_weight_ = weight_of_start(settings_, runs_, result_.choosing, result_.held_out);
        clock_.expect(work_kind::prefill, start_weight_ + (n_menu + 1) * all + part * alone + heads + 2 * search);
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

    void measure_everywhere() {
        const double any = std::numeric_limits<double>::infinity();
        result_.dense = measure("dense", mix_of(result_.facts.n_layer, {}, k_dense), false, any);
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

    // The entry in one layer; a start's heads take nothing there.
    lone_job alone(const lone_choice & c) const {
        const int32_t layer = result_.layers[c.layer];
        const int32_t n_head = result_.facts.n_head;
        lone_job job{mix_of(result_.facts.n_layer, {}, k_dense), fmt::format("{} alone {}", layer, menu_text(c.entry))};
        job.mix[static_cast<size_t>(layer)] =
            on_heads(free_heads(layer, n_head, settings_.start_layers()), n_head, static_cast<int32_t>(c.entry));
        return job;
    }

    // [list][prompts of the groups]
    std::vector<std::vector<mix_effect>> run_alone(const std::string & name, const std::vector<prompt_group> & groups,
                                                   const std::vector<lone_choice> & list) {
        std::vector<lone_job> jobs;
        for (const lone_choice & c : list) {
            jobs.push_back(alone(c));
        }
        return lone_.run(name, groups, jobs);
    }

    void measure_alone(const std::string & name, const std::vector<prompt_group> & groups,
                       const std::vector<lone_choice> & list, damage measured_choice::*where) {
        const std::vector<std::vector<mix_effect>> rows = run_alone(name, groups, list);
        for (size_t i = 0; i < list.size(); ++i) {
            result_.choices[list[i].layer][list[i].entry].*where = damage_of(groups, rows[i]);
        }
    }

    // Where activations are not rounded to 8 bits, a change that leaves out next to nothing does nothing. A model that
    // the control cannot treat has no floors.
    void measure_floors() {
        result_.floors.assign(result_.layers.size(), 0);
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
        const std::vector<std::vector<mix_effect>> rows = run_alone("floors", short_, list);
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

    double kl_of(const combination & c, bool held_out, double budget, std::vector<measured_mix> & within) {
        measured_mix m = measure(held_out ? "checked" : "tried", mix_of_combination(result_, c), held_out, budget);
        const double kl = m.worst_kl;
        if (kl <= budget) {
            within.push_back(std::move(m));
        }
        return kl;
    }

    planner_search search_in(const choice_table & table) {
        planner_search s;
        s.frontier = make_frontier(table);
        s.found = search_mix(
            table, settings_.budget(),
            [&](const combination & c, bool held_out) { return kl_of(c, held_out, settings_.budget(), s.measured); },
            !settings_.base.per_head);
        return s;
    }

    // Of layers that are left dense where half of what the start leaves of the budget is used: all that a search may
    // get to.
    std::vector<lone_choice> layers_to_look_at(const choice_table & table) {
        const double halfway = (result_.dense.worst_kl + settings_.budget()) / 2;
        std::vector<measured_mix> within;
        const std::vector<combination> path = path_along_frontier(
            table, halfway, [&](const combination & c, bool held_out) { return kl_of(c, held_out, halfway, within); });
        std::vector<lone_choice> list = layers_left(result_, path.back(), settings_.aim);
        std::erase_if(list, [&](const lone_choice & c) { return heads_of(c).size() < 2; });
        return list;
    }

    std::vector<unit> heads_of(const lone_choice & c) const {
        return free_heads(result_.layers[c.layer], result_.facts.n_head, settings_.start_layers());
    }

    // Their heads are candidates of the table in their place.
    void look_at_heads(choice_table & table) {
        std::vector<lone_head> heads;
        std::vector<lone_job> jobs;
        for (const lone_choice & c : layers_to_look_at(table)) {
            for (const unit & u : heads_of(c)) {
                heads.push_back({u, c, {}, 0});
                jobs.push_back({mix_of(result_.facts.n_layer, {}, k_dense),
                                fmt::format("{} alone {}", name_of(u), menu_text(c.entry))});
                jobs.back().mix[static_cast<size_t>(u.layer)] =
                    on_heads({u}, result_.facts.n_head, static_cast<int32_t>(c.entry));
            }
        }
        std::vector<prompt_group> groups = short_;
        groups.insert(groups.end(), others_.begin(), others_.end());
        const std::vector<std::vector<mix_effect>> rows = lone_.run("heads", groups, jobs);
        for (size_t i = 0; i < heads.size(); ++i) {
            heads[i].alone = damage_of(groups, rows[i]);
            for (const mix_effect & e : rows[i]) {
                heads[i].skipped += e.layers[static_cast<size_t>(heads[i].head.layer)].skipped;
            }
        }
        add_heads(result_, heads);
        table = table_of(result_, settings_.aim);
        drop_useless(table, settings_.budget());
    }
};

}  // namespace

planner_result run_planner(const planner_settings & settings, backend & b, const model & m, const prompt_pool & prompts,
                           const progress_sink & sink) {
    return planner_run(settings, b, m, prompts, sink).run();
}

}  // namespace tmx
