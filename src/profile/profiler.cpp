#include "profile/profiler.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "measure/hash.h"
#include "profile/gradient_stage.h"
#include "profile/plan_provenance.h"
#include "profile/run_estimate.h"

namespace tmx {
namespace {

constexpr double k_yardsticks = 3;      // that set_stage measures
constexpr int64_t k_curve_points = 32;  // of the growing set; more units than that are taken some at a time

probe_options probe_of(const profile_settings & settings) {
    probe_options options;
    options.n_threads = settings.n_threads;
    options.shape = settings.shape;
    options.stop = settings.stop;
    return options;
}

std::vector<double> mean_over(std::span<const size_t> prompts, const std::vector<std::vector<double>> & by_prompt) {
    std::vector<double> mean(by_prompt.front().size(), 0.0);
    for (const size_t prompt : prompts) {
        for (size_t u = 0; u < mean.size(); ++u) {
            mean[u] += by_prompt[prompt][u];
        }
    }
    return mean;
}

// [prompt][unit]; scores are means over prompts of these.
std::vector<std::vector<double>> scores_by_prompt(const profile_result & r, const score_kind & kind) {
    std::vector<std::vector<double>> by_prompt;
    profile_result one;
    one.facts = r.facts;
    one.units = r.units;
    for (const prompt_gradient & g : r.gradients) {
        one.gradients = {g};
        by_prompt.push_back(unit_scores(one, kind, section::middle));
    }
    return by_prompt;
}

std::vector<score_quality> compare_scores(const profile_result & r) {
    std::vector<std::vector<double>> kl(r.gradients.size(), std::vector<double>(r.units.size()));
    for (size_t u = 0; u < r.units.size(); ++u) {
        for (size_t prompt = 0; prompt < kl.size(); ++prompt) {
            kl[prompt][u] = r.ablation.effects[u][prompt].distance.first_kl;
        }
    }
    std::vector<score_quality> qualities;
    for (const score_kind & kind : score_kinds()) {
        const std::vector<std::vector<double>> scores = scores_by_prompt(r, kind);
        qualities.push_back(
            {std::string(kind.name), bootstrap(static_cast<int64_t>(kl.size()), [&](std::span<const size_t> prompts) {
                 return spearman(mean_over(prompts, scores), mean_over(prompts, kl));
             })});
    }
    return qualities;
}

class profile_run {
  public:
    profile_run(const profile_settings & settings, backend & b, const model & m, const prompt_pool & prompts,
                const progress_sink & sink)
        : settings_(settings),
          clock_(sink),
          prompts_(prompts),
          records_(settings.record_path),
          model_sha256_(sha256_of_file(settings.model_path)),
          keys_(settings, model_sha256_, arithmetic_of(b)),
          probe_(settings.model_path, settings.device, probe_of(settings)),
          sets_(settings, keys_, b, m, prompts, records_),
          ablation_(settings, prompts, records_, sets_, probe_),
          choosing_(prompts.numbers(false)),
          held_out_(prompts.numbers(true)) {
        result_.facts = m.facts();
        result_.model_sha256 = model_sha256_;
        result_.units = all_units(shape_of(m.facts()), settings.per_head, m.facts().windows);
        result_.n_prompts = static_cast<int64_t>(choosing_.size());
        result_.n_on_file = static_cast<int64_t>(records_.n_found());
    }

    profile_result run() {
        foresee();
        if (settings_.gradient) {
            clock_.begin(work_kind::gradient, weight_of_gradients(keys_, prompts_, records_));
            result_.gradients = measure_gradients(keys_, prompts_, records_, probe_, sink_);
        }
        if (settings_.ablation) {
            ablate();
        }
        if (settings_.gradient && settings_.ablation) {
            result_.qualities = compare_scores(result_);
        }
        order();
        if (settings_.curve) {
            measure_curve();
        }
        result_.chosen = choose(result_.order, settings_.how, settings_.value, !held_out_.empty(),
                                [&](std::span<const unit> set, bool held_out) { return kl(set, held_out); });
        if (result_.chosen.checked && result_.chosen.size > 0) {
            result_.check = sets_.measure_all("check", chosen_units(result_), held_out_, sink_);
        }
        const bool checked = result_.chosen.checked && result_.chosen.size > 0;
        result_.measured_up_to = longest(checked ? held_out_ : choosing_);
        if (settings_.yardsticks) {
            clock_.begin(work_kind::prefill, k_yardsticks * weight_of(held_out_));
            result_.yardsticks = sets_.measure_yardsticks(held_out_, sink_);
        }
        add_measured_sizes();
        make_plan();
        return std::move(result_);
    }

  private:
    const profile_settings & settings_;
    run_clock clock_;
    const progress_sink & sink_ = clock_.sink();
    const prompt_pool & prompts_;
    record_store records_;
    std::string model_sha256_;
    record_keys keys_;
    shared_probe probe_;
    set_stage sets_;
    ablation_stage ablation_;
    std::vector<size_t> choosing_, held_out_;
    profile_result result_;

    double weight_of(const std::vector<size_t> & prompts) const {
        double sum = 0;
        for (const size_t prompt : prompts) {
            sum += stage_clock::weight_of(prompts_.n_tokens(prompt));
        }
        return sum;
    }

    int64_t longest(const std::vector<size_t> & prompts) const {
        int64_t n = 0;
        for (const size_t prompt : prompts) {
            n = std::max(n, prompts_.n_tokens(prompt));
        }
        return n;
    }

    work_kind kind_of_ablation() const {
        return settings_.ablate_in == ablation_place::probe ? work_kind::probe : work_kind::prefill;
    }

    // What is going to be done, as far as that is known before; sets on file are not, since their order is not known.
    void foresee() {
        if (settings_.gradient) {
            clock_.expect(work_kind::gradient, weight_of_gradients(keys_, prompts_, records_));
        }
        if (settings_.ablation) {
            clock_.expect(kind_of_ablation(), ablation_.weight(result_.units));
        }
        const auto n_units = static_cast<double>(result_.units.size());
        const double n_curve = settings_.curve ? std::min(n_units, static_cast<double>(k_curve_points)) : 0;
        const bool by_budget = settings_.how == choose_by::kl_budget;
        const double n_tried = n_curve + (by_budget ? std::ceil(std::log2(n_units + 1)) : 0);
        const double n_checked = (by_budget ? 2 : 1) + (settings_.yardsticks ? k_yardsticks : 0);
        // And each prompt's dense answer, once.
        clock_.expect(work_kind::prefill,
                      (n_tried > 0 ? n_tried + 1 : 0) * weight_of(choosing_) + (n_checked + 1) * weight_of(held_out_));
        constexpr int64_t k_timed = 256;
        constexpr double k_worth_timing = 100;  // a run of fewer such steps is over soon
        if (clock_.expected() < k_worth_timing * stage_clock::weight_of(k_timed)) {
            return;
        }
        const int64_t n_timed = std::min(settings_.device.empty() ? k_timed : 8 * k_timed, prompts_.n_tokens(0));
        std::string what = fmt::format("{} prompts that choose, {} that check, of up to {} tokens", choosing_.size(),
                                       held_out_.size(), std::max(longest(choosing_), longest(held_out_)));
        what += result_.n_on_file > 0 ? ", less what is on file" : "";
        clock_.announce(what, stage_clock::weight_of(n_timed), sets_.seconds_of_prefill(n_timed));
    }

    void ablate() {
        clock_.begin(kind_of_ablation(), ablation_.weight(result_.units));
        result_.ablation = ablation_.measure(result_.units, sink_);
        for (const std::vector<set_effect> & effects : result_.ablation.effects) {
            result_.unit_kl.push_back(mean_first_kl(effects));
        }
    }

    void order() {
        if (settings_.how == choose_by::given) {
            order_given();
            return;
        }
        if (settings_.score == "ablation") {
            result_.order = order_units(result_.units, result_.unit_kl);
        } else {
            const score_kind & kind = *find_score(settings_.score);
            result_.order = order_units(result_.units, unit_scores(result_, kind, section::middle));
        }
    }

    // The user's layers first; among them and among the others there is no order.
    void order_given() {
        std::vector<double> scores;
        for (const unit & u : result_.units) {
            const bool given =
                std::find(settings_.given.begin(), settings_.given.end(), u.layer) != settings_.given.end();
            scores.push_back(given ? 0 : 1);
        }
        result_.order = order_units(result_.units, scores);
    }

    double kl(std::span<const unit> set, bool held_out) {
        const std::string stage = std::to_string(set.size()) + (held_out ? " checked" : " tried");
        const std::vector<size_t> & prompts = held_out ? held_out_ : choosing_;
        clock_.begin(work_kind::prefill, weight_of(prompts));
        return mean_first_kl(sets_.measure_all(stage, set, prompts, sink_));
    }

    void measure_curve() {
        const auto n_units = static_cast<int64_t>(result_.units.size());
        const int64_t n_points = std::min(n_units, k_curve_points);
        for (int64_t i = 1; i <= n_points; ++i) {
            const int64_t size = i * n_units / n_points;
            const std::span<const unit> set = std::span(result_.order.units).first(static_cast<size_t>(size));
            result_.curve.push_back({size, false, kl(set, false)});
        }
    }

    // What choosing measured belongs to the curve, too.
    void add_measured_sizes() {
        for (const measured_size & m : result_.chosen.measured) {
            const bool there = std::any_of(result_.curve.begin(), result_.curve.end(),
                                           [&](const measured_size & c) { return c.size == m.size; });
            if (!m.held_out && !there) {
                result_.curve.push_back(m);
            }
        }
        std::sort(result_.curve.begin(), result_.curve.end(),
                  [](const measured_size & a, const measured_size & b) { return a.size < b.size; });
    }

    void make_plan() {
        plan & p = result_.value;
        p = plan_of_units(chosen_units(result_), shape_of(result_.facts), settings_.shape);
        p.tail = tail_policy::chunk;  // a host that does not know the length is the usual user of a file
        p.arithmetic = parse_precision(settings_.precision).value;
        p.name = plan_name_of(result_.facts.name);
        p.provenance = provenance_of(settings_, result_);
    }
};

std::string line_of(const record_store::json & record) {
    return record.dump(-1, ' ', false, record_store::json::error_handler_t::replace) + "\n";
}

}  // namespace

std::span<const unit> chosen_units(const profile_result & r) {
    return std::span(r.order.units).first(static_cast<size_t>(r.chosen.size));
}

std::vector<double> unit_scores(const profile_result & r, const score_kind & kind, section where) {
    const bool heads = !r.units.empty() && r.units.front().head >= 0;
    return heads ? head_scores(r.gradients, kind, where) : layer_scores(r.gradients, r.facts.n_head, kind, where);
}

profile_result run_profile(const profile_settings & settings, backend & b, const model & m, const prompt_pool & prompts,
                           const progress_sink & sink) {
    return profile_run(settings, b, m, prompts, sink).run();
}

std::string scores_jsonl(const profile_result & r) {
    std::string text;
    for (const prompt_gradient & g : r.gradients) {
        text += line_of(gradient_json(g));
    }
    for (const set_effect & gap : r.ablation.gaps) {
        text += line_of(gap_json(gap));
    }
    for (size_t u = 0; u < r.ablation.effects.size(); ++u) {
        for (const set_effect & e : r.ablation.effects[u]) {
            text += line_of(set_json(e, name_of(r.units[u])));
        }
    }
    for (const auto & [way, e] : r.yardsticks) {
        record_store::json record = set_json(e, way);
        record["held_out"] = true;
        text += line_of(record);
    }
    for (const set_effect & e : r.check) {
        record_store::json record = set_json(e, format_units(chosen_units(r)));
        record["held_out"] = true;
        text += line_of(record);
    }
    return text;
}

}  // namespace tmx
