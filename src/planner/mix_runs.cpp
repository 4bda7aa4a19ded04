#include "planner/mix_runs.h"

#include <fmt/core.h>

#include "measure/stage_clock.h"

namespace tmx {

double mix_runs::weight_of(const std::vector<prompt_group> & groups) const {
    double sum = 0;
    for (const size_t prompt : prompts_of(groups)) {
        sum += stage_clock::weight_of(prompts_.n_tokens(prompt));
        if (prompts_.specs()[prompt].question > 0) {
            sum -= stage_clock::weight_of(stage_.n_shared(prompt - 1, prompt));
        }
    }
    return sum;
}

// before: the job before it, if there is one.
double mix_runs::weight_of(const mix_job & job, const mix_job * before, std::set<size_t> & with_dense) const {
    if (stage_.on_file(job.mix, job.prompt)) {
        return 0;
    }
    const double whole = stage_clock::weight_of(prompts_.n_tokens(job.prompt));
    const size_t context = prompts_.about_context_of(job.prompt).front();
    const bool dense_too = !stage_.holds_dense(job.prompt) && with_dense.insert(context).second;
    const bool shares = before != nullptr && before->mix == job.mix;
    const double there = shares ? stage_clock::weight_of(stage_.n_shared(before->prompt, job.prompt)) : 0;
    return (dense_too ? 2 : 1) * whole - there;
}

std::vector<mix_effect> mix_runs::run(const std::string & name, const std::vector<mix_job> & jobs,
                                      const std::function<bool(const std::vector<mix_effect> & so_far)> & enough) {
    std::vector<double> weights;
    std::set<size_t> with_dense;
    double total = 0;
    for (size_t i = 0; i < jobs.size(); ++i) {
        weights.push_back(weight_of(jobs[i], i > 0 ? &jobs[i - 1] : nullptr, with_dense));
        total += weights.back();
    }
    clock_.begin(work_kind::prefill, total);
    stage_clock clock(name, total, clock_.sink());
    std::vector<mix_effect> effects;
    for (size_t i = 0; i < jobs.size() && !enough(effects); ++i) {
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

std::vector<mix_effect> mix_runs::run_within(const std::string & name, const mix_job & job,
                                             const std::vector<prompt_group> & groups, double budget) {
    std::vector<mix_job> jobs;
    for (const size_t prompt : prompts_of(groups)) {
        jobs.push_back({job.mix, prompt, job.what});
    }
    return run(name, jobs, [&](const std::vector<mix_effect> & so_far) {
        std::vector<double> kls;
        kls.reserve(so_far.size());
        for (const mix_effect & e : so_far) {
            kls.push_back(e.effect.distance.first_kl);
        }
        return mean_beyond(groups, kls, budget);
    });
}

std::vector<prompt_group> mix_runs::half_that_tells(const std::vector<prompt_group> & groups,
                                                    const std::vector<mix_effect> & effects) const {
    std::vector<prompt_group> halves = groups;
    size_t next = 0;  // effect
    for (prompt_group & half : halves) {
        std::vector<told_context> contexts;
        for (const size_t prompt : half.prompts) {
            if (prompts_.specs()[prompt].question == 0) {
                contexts.emplace_back();
            }
            contexts.back().prompts.push_back(prompt);
            contexts.back().kl += effects[next++].effect.distance.mean_kl();
        }
        half.prompts = most_telling_half(std::move(contexts));
    }
    return halves;
}

}  // namespace tmx
