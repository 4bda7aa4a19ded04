#include "eval/report/eval_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "measure/hash.h"
#include "measure/random_source.h"

namespace tmx {
namespace {

using json = nlohmann::ordered_json;

json interval_of(const mean_difference & d) {
    return {{"mean", d.mean},
            {"n", d.n},
            {"ci95", {d.low, d.high}},
            {"bca95", {d.bca_low, d.bca_high}},
            {"one_sided95", {d.one_sided_low, d.one_sided_high}}};
}

// What all rows share.
json manifest_of_run(const eval_report & r) {
    const eval_settings & s = r.settings;
    return {{"date", r.how.date},
            {"commit", r.how.commit},
            {"machine", r.how.machine},
            {"command", r.how.command},
            {"model", std::filesystem::path(s.model_path).filename().string()},
            {"model_sha256", s.model_sha256},
            {"quant", r.facts.file_type},
            {"seed", s.seed},
            {"data", s.data_identity},
            {"together", s.n_together}};
}

// ... and those of an arm.
json manifest_of(const eval_report & r, const eval_arm & a) {
    const eval_arm & reference = r.settings.arms.front();
    json manifest = manifest_of_run(r);
    manifest.update(
        json{{"arm", a.name},
             {"arm_is", a.label},
             {"role", name_of(a.role)},
             {"plan_sha256", a.computed.plan_json.empty() ? json() : json(sha256_of_text(a.computed.plan_json))},
             {"tail_policy", a.computed.plan_json.empty() ? json() : json(std::string(name_of(a.applied.tail)))},
             {"precision", a.computed.precision},
             {"ubatch", a.computed.context.n_ubatch},
             {"reference_ubatch", reference.computed.context.n_ubatch},
             {"kv", a.computed.context.kv == kv_type::f16 ? "f16" : "other"}});
    return manifest;
}

json with_manifest(const char * kind, const json & figures, const json & manifest) {
    json row = {{"kind", kind}};
    row.update(figures);
    row.update(manifest);
    return row;
}

json figures_of(const suite_result & s, double margin) {
    return {{"suite", s.suite},
            {"length", s.length},
            {"n_tasks", s.n_tasks},
            {"n", s.n},
            {"vacuous", s.n_vacuous},
            {"reference", s.reference},
            {"score", s.other},
            {"difference", interval_of(s.difference)},
            {"p_sign_flip", s.p},
            {"margin", margin},
            {"verdict", name_of(s.shown)},
            {"reference_informative", s.reference_informative},
            {"score_informative", s.other_informative},
            {"worst_task", s.worst_task},
            {"worst_difference", s.worst},
            {"sparse_fraction_mean", s.sparse_mean},
            {"sparse_fraction_least", s.sparse_least},
            {"pairs_kept_share", s.kept},
            {"ttft_s_reference", s.ttft_reference},
            {"ttft_s", s.ttft_other},
            {"bound_of_changed_share", s.nothing_seen_bound > 0 ? json(s.nothing_seen_bound) : json()}};
}

json figures_of(const task_result & t, double margin) {
    json figures = {{"suite", t.suite},
                    {"task", t.task},
                    {"length", t.length},
                    {"provenance", t.from},
                    {"n", t.n},
                    {"vacuous", t.n_vacuous},
                    {"reference", t.reference},
                    {"score", t.other},
                    {"difference", interval_of(t.difference)},
                    {"b", t.b},
                    {"c", t.c},
                    {"p", t.p},
                    {"p_holm", t.p_holm},
                    {"margin", margin},
                    {"verdict", name_of(t.shown)},
                    {"floor", t.uninformative},
                    {"long_tail_share", t.long_tail},
                    {"answer_tokens_reference", t.tokens_reference},
                    {"answer_tokens", t.tokens_other},
                    {"not_found_reference", t.not_found_reference},
                    {"not_found", t.not_found_other}};
    if (t.n_gold > 0) {
        figures["gold_nll_reference"] = t.gold_nll_reference;
        figures["gold_nll"] = t.gold_nll_other;
    }
    return figures;
}

json figures_of(const stratum_result & s) {
    json figures = {{"suite", s.suite},
                    {"task", s.task},
                    {"length", s.length},
                    {"by", s.by},
                    {"value", s.value},
                    {"n", s.n},
                    {"reference", s.reference},
                    {"score", s.other},
                    {"difference", interval_of(s.difference)}};
    if (s.is_area()) {
        figures.erase("value");
    }
    if (s.task.empty()) {
        figures.erase("task");
    }
    return figures;
}

json figures_of(const throughput_result & t) {
    return {{"suite", t.suite},
            {"length", t.length},
            {"n", t.n},
            {"n_arms", t.n_arms},
            {"prompt_tokens", t.prompt_tokens},
            {"answer_tokens", t.answer_tokens},
            {"prefill_s", t.prefill_seconds},
            {"wall_s", t.wall_seconds},
            {"prefill_share", t.prefill_share()}};
}

json figures_of(const eval_report & r, const fidelity_result & f) {
    const auto known = [](double value) { return value >= 0 ? json(value) : json(); };
    return {{"suite", "fidelity"},
            {"length", f.length},
            {"n", f.n},
            {"first_kl", interval_of(f.first_kl)},
            {"first_js", f.first_js},
            {"first_same_share", f.first_same},
            {"first_top5_overlap", f.first_top5},
            {"following_kl", interval_of(f.following_kl)},
            {"following_kl_p95", f.following_kl_p95},
            {"following_kl_max", f.following_kl_max},
            {"following_kl_quarters", f.following_kl_quarters},
            {"following_tokens", r.settings.n_following},
            {"flip_share", interval_of(f.flips)},
            {"confident_flip_share", f.confident_flips},
            {"same_prefix_share", f.same_prefix},
            {"all_same_share", f.all_spoken_same},
            {"perplexity_reference", f.perplexity_reference},
            {"perplexity_log_ratio", interval_of(f.log_ratio)},
            {"perplexity_margin", r.margins.perplexity},
            {"perplexity_verdict", name_of(f.perplexity_verdict)},
            {"flips_margin", r.margins.flips},
            {"flips_verdict", name_of(f.flips_verdict)},
            {"floor_first_kl", known(f.floor_first_kl)},
            {"floor_following_kl", known(f.floor_following_kl)},
            {"floor_flip_share", known(f.floor_flips)},
            {"pairs_kept_share", f.kept},
            {"ttft_s_reference", f.ttft_reference},
            {"ttft_s", f.ttft_other}};
}

}  // namespace

eval_report make_report(const eval_settings & settings, const model_facts & facts, const report_facts & how,
                        const eval_margins & margins, const std::vector<std::unique_ptr<eval_task>> & tasks,
                        const record_store & records, const std::vector<std::string> & keys) {
    eval_report r{settings, facts, how, margins, {}, {}, {}, {}, {}, {}, 0};
    for (const auto & task : tasks) {
        r.notes[task->facts().suite + "/" + task->facts().name] = task->facts().note;
    }
    r.pairs = pair_records(settings, records, keys);
    for (const arm_pairs & pairs : r.pairs) {
        r.arms.push_back(score_arm(pairs, margins));
        const std::vector<stratum_result> strata = summarise_strata(pairs);
        r.strata.insert(r.strata.end(), strata.begin(), strata.end());
    }
    r.throughput = throughput_of(records, keys);
    r.fidelity = summarise_fidelity(r.pairs, margins);
    r.n_missing =
        std::count_if(keys.begin(), keys.end(), [&](const std::string & key) { return records.find(key) == nullptr; });
    return r;
}

std::vector<json> result_rows(const eval_report & r) {
    std::vector<json> rows;
    for (const scored_arm & scored : r.arms) {
        const json manifest = manifest_of(r, *scored.arm);
        for (const suite_result & s : scored.suites) {
            rows.push_back(with_manifest("suite", figures_of(s, r.margins.average), manifest));
        }
        for (const task_result & t : scored.tasks) {
            rows.push_back(with_manifest("task", figures_of(t, r.margins.task), manifest));
        }
        for (const stratum_result & s : r.strata) {
            if (s.arm == scored.arm->name) {
                rows.push_back(with_manifest(s.is_area() ? "area" : "stratum", figures_of(s), manifest));
            }
        }
        for (const fidelity_result & f : r.fidelity) {
            if (f.arm == scored.arm->name) {
                rows.push_back(with_manifest("fidelity", figures_of(r, f), manifest));
            }
        }
    }
    for (const throughput_result & t : r.throughput) {
        rows.push_back(with_manifest("throughput", figures_of(t), manifest_of_run(r)));
    }
    return rows;
}

std::vector<const answer_pair *> discordant_answers(const arm_pairs & pairs, size_t n) {
    std::vector<const answer_pair *> all;
    for (const answer_pair & pair : pairs.answers) {
        if (pair.d() != 0) {
            all.push_back(&pair);
        }
    }
    random_source random(20260103);
    for (size_t i = all.size(); i > 1; --i) {
        std::swap(all[i - 1], all[random.below(i)]);
    }
    all.resize(std::min(all.size(), n));
    return all;
}

std::string interval_text(const mean_difference & d, int digits) {
    return fmt::format("{:+.{}f} [{:+.{}f}, {:+.{}f}]", d.mean, digits, d.low, digits, d.high, digits);
}

}  // namespace tmx
