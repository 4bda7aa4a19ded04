#include "planner/planner.h"

#include <fmt/core.h>

#include <cmath>
#include <optional>
#include <set>

#include "measure/hash.h"
#include "measure/stage_clock.h"
#include "planner/entry_times.h"
#include "planner/plan_of_result.h"
#include "profile/run_estimate.h"

namespace tmx {
namespace {

// Steps back from a combination that broke the budget: more combinations than these are taken some at a time.
constexpr int64_t k_most_steps = 32;

std::vector<int32_t> candidates(const model_facts & facts) {
    std::vector<int32_t> layers;
    for (const unit & u : all_units(shape_of(facts), false, facts.windows)) {
        layers.push_back(u.layer);
    }
    return layers;
}

// One measurement.
struct job {
    layer_mix mix;
    size_t prompt = 0;
    std::string what;  // for people
};

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
          stage_(settings_, keys_, b, m, prompts, records_) {
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
        leave_out_what_fails();
        measure_everywhere();
        predict_times();
        measure_alone("layers", short_, all_choices(), &measured_choice::at_short);
        choice_table table = table_of();
        drop_useless(table, settings_.budget());
        if (!others_.empty()) {
            measure_alone("longest", {others_.back()}, offered(table), &measured_choice::at_long);
            table = table_of();
            drop_useless(table, settings_.budget());
        }
        result_.mix = search_in(make_frontier(table));
        if (const int32_t entry = plain_triangle(); entry >= 0 && settings_.menu.size() > 1 && !settings_.base.quick) {
            result_.triangle = search_in(make_frontier(only(table_of(), entry)));
        }
        result_.value = plan_of_result(settings_, result_);
        return std::move(result_);
    }

  private:
    planner_settings settings_;  // its menu loses what cannot be computed here
    run_clock clock_;
    const prompt_pool & prompts_;
    record_store records_;
    std::string model_sha256_;
    record_keys keys_;
    mix_stage stage_;
    std::vector<prompt_group> short_, others_;  // of the prompts that choose
    planner_result result_;

    size_t n_entries() const { return settings_.menu.size(); }

    double weight_of(const std::vector<prompt_group> & groups) const {
        double sum = 0;
        for (const size_t prompt : prompts_of(groups)) {
            sum += stage_clock::weight_of(prompts_.n_tokens(prompt));
        }
        return sum;
    }

    double weight_of_search() const {
        const double n_combinations = static_cast<double>(result_.layers.size() * n_entries());
        return std::ceil(std::log2(n_combinations + 1)) * weight_of(result_.choosing) + 2 * weight_of(result_.held_out);
    }

    // What is going to be done, as far as it is known: that half of the choices are dropped is a guess.
    void foresee() {
        const auto n_choices = static_cast<double>(result_.layers.size() * n_entries());
        const double n_everywhere = static_cast<double>(n_entries()) + 1;
        const double alone_at_longest = others_.empty() ? 0 : n_choices / 2 * weight_of({others_.back()});
        clock_.expect(work_kind::prefill, n_everywhere * weight_of(result_.choosing) + n_choices * weight_of(short_) +
                                              alone_at_longest + 2 * weight_of_search());
        const std::string what =
            fmt::format("{} entries in {} layers, {} prompts that choose, {} that check, of up to {} tokens{}",
                        n_entries(), result_.layers.size(), result_.n_prompts, prompts_of(result_.held_out).size(),
                        std::max(result_.choosing.back().n_tokens, result_.held_out.back().n_tokens),
                        result_.n_on_file > 0 ? ", less what is on file" : "");
        clock_.announce(what, stage_clock::weight_of(prompts_.n_tokens(0)), stage_.seconds_of_prefill());
    }

    // Runs all, in their order. What is on file costs nothing; a prompt's dense answer is computed with the first that
    // needs it.
    std::vector<mix_effect> run_jobs(const std::string & name, const std::vector<job> & jobs) {
        std::vector<double> weights;
        std::set<size_t> with_dense;
        double total = 0;
        for (const job & j : jobs) {
            double weight = 0;
            if (!stage_.on_file(j.mix, j.prompt)) {
                const bool dense_too = !stage_.holds_dense(j.prompt) && with_dense.insert(j.prompt).second;
                weight = (dense_too ? 2 : 1) * stage_clock::weight_of(prompts_.n_tokens(j.prompt));
            }
            weights.push_back(weight);
            total += weight;
        }
        clock_.begin(work_kind::prefill, total);
        stage_clock clock(name, total, clock_.sink());
        std::vector<mix_effect> effects;
        for (size_t i = 0; i < jobs.size(); ++i) {
            const std::string item = fmt::format("{}, {}", prompts_.specs()[jobs[i].prompt].name(), jobs[i].what);
            if (weights[i] > 0) {
                clock.begin(item, weights[i]);
            }
            effects.push_back(stage_.measure(jobs[i].mix, jobs[i].prompt));
            if (weights[i] > 0) {
                clock.end(fmt::format("{}: KL {:.2e}", item, effects.back().effect.distance.first_kl));
            }
        }
        return effects;
    }

    measured_mix measure(const std::string & name, const layer_mix & mix, int64_t number, bool held_out) {
        measured_mix measured;
        measured.mix = mix;
        measured.number = number;
        measured.held_out = held_out;
        std::vector<job> jobs;
        for (const size_t prompt : prompts_of(held_out ? result_.held_out : result_.choosing)) {
            jobs.push_back({mix, prompt, text_of(mix, settings_.menu)});
        }
        measured.effects = run_jobs(name, jobs);
        measured.worst_kl = worst_mean(held_out ? result_.held_out : result_.choosing,
                                       [&](size_t i) { return measured.effects[i].effect.distance.first_kl; });
        return measured;
    }

    layer_mix everywhere(size_t entry) const {
        return mix_of(result_.facts.n_layer, result_.layers, static_cast<int32_t>(entry));
    }

    // Some methods cannot treat every model, or have no form for this device. ERRORS not_applied: that is so of all.
    void leave_out_what_fails() {
        std::optional<not_applied> problem;
        for (size_t entry = 0; entry < n_entries(); ++entry) {
            try {
                run_jobs("methods", {{everywhere(entry), result_.choosing.front().prompts.front(), menu_text(entry)}});
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
        result_.dense = measure("dense", mix_of(result_.facts.n_layer, {}, k_dense), 0, false);
        for (size_t entry = 0; entry < n_entries(); ++entry) {
            result_.everywhere.push_back(measure("methods", everywhere(entry), 0, false));
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
            const std::vector<double> kept = kept_by_layer(times, result_.layers);
            for (size_t i = 0; i < result_.layers.size(); ++i) {
                result_.choices[i][entry].saved = saved[i];
                result_.choices[i][entry].kept_share = kept[i];
            }
        }
    }

    using choice_list = std::vector<std::pair<size_t, size_t>>;  // (number in layers, entry)

    // What saves nothing is not measured.
    choice_list all_choices() const {
        choice_list list;
        for (size_t layer = 0; layer < result_.layers.size(); ++layer) {
            for (size_t entry = 0; entry < n_entries(); ++entry) {
                if (result_.choices[layer][entry].saved > 0) {
                    list.emplace_back(layer, entry);
                }
            }
        }
        return list;
    }

    static choice_list offered(const choice_table & table) {
        choice_list list;
        for (size_t layer = 0; layer < table.size(); ++layer) {
            for (size_t entry = 0; entry < table[layer].size(); ++entry) {
                if (table[layer][entry].offered) {
                    list.emplace_back(layer, entry);
                }
            }
        }
        return list;
    }

    void measure_alone(const std::string & name, const std::vector<prompt_group> & groups, const choice_list & list,
                       damage measured_choice::*where) {
        // Prompt by prompt: each one's dense answer is needed once.
        const std::vector<size_t> prompts = prompts_of(groups);
        std::vector<job> jobs;
        for (const size_t prompt : prompts) {
            for (const auto & [layer, entry] : list) {
                const int32_t number = result_.layers[layer];
                jobs.push_back({mix_of(result_.facts.n_layer, {&number, 1}, static_cast<int32_t>(entry)), prompt,
                                fmt::format("{} alone {}", number, menu_text(entry))});
            }
        }
        const std::vector<mix_effect> effects = run_jobs(name, jobs);
        for (size_t i = 0; i < list.size(); ++i) {
            const auto on = [&](size_t prompt) -> const fidelity & {
                return effects[prompt * list.size() + i].effect.distance;
            };
            damage & found = result_.choices[list[i].first][list[i].second].*where;
            found.measured = true;
            found.first_kl = worst_mean(groups, [&](size_t prompt) { return on(prompt).first_kl; });
            found.following_kl = worst_mean(groups, [&](size_t prompt) { return on(prompt).following_kl; });
        }
    }

    choice_table table_of() const {
        choice_table table;
        for (const std::vector<measured_choice> & layer : result_.choices) {
            table.emplace_back();
            for (const measured_choice & choice : layer) {
                table.back().push_back({choice.damage_counted(), choice.saved, choice.at_short.measured});
            }
        }
        return table;
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

    search search_in(std::vector<combination> frontier) {
        search s;
        s.frontier = std::move(frontier);
        const auto n_sizes = static_cast<int64_t>(s.frontier.size()) - 1;
        const int64_t step = std::max<int64_t>((n_sizes + k_most_steps - 1) / k_most_steps, 1);
        s.chosen = choose_size(n_sizes, step, settings_.budget(), true, [&](int64_t number, bool held_out) {
            const layer_mix mix = mix_of_combination(result_, s.frontier[static_cast<size_t>(number)]);
            s.measured.push_back(
                measure(fmt::format("{} {}", number, held_out ? "checked" : "tried"), mix, number, held_out));
            return s.measured.back().worst_kl;
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
