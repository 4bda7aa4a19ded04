#include "eval/run/task_stage.h"

#include <fmt/core.h>

#include <algorithm>
#include <exception>

#include "measure/hash.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

asked make_asked(const model & m, const eval_settings & settings, const example_group & group, int64_t index) {
    const model_tokenizer tokens(m);
    asked each;
    each.example = group.task->make({group.length, index, settings.seed, settings.frozen_order, tokens});
    each.rendered = render_example(m, each.example);
    const auto n = static_cast<int64_t>(each.rendered.ids.size()) + each.example.max_new_tokens;
    if (n > group.length) {
        const task_facts & facts = group.task->facts();
        throw failure(
            fmt::format("{}/{} #{} needs {} tokens with its answer, and the context of this run has {}: give a "
                        "longer --lengths",
                        facts.suite, facts.name, index, n, group.length));
    }
    return each;
}

prediction prediction_for(const eval_arm & a, const example_group & group, const asked & each,
                          const answered & answer) {
    prediction p;
    p.suite = each.example.suite;
    p.task = each.example.task;
    p.id = each.example.id;
    p.length = group.length;
    p.arm = a.name;
    p.arm_identity = a.identity();
    p.from = name_of(each.example.from);
    p.ids_hash = each.rendered.ids_hash;
    p.n_prompt = static_cast<int64_t>(each.rendered.ids.size());
    p.tail_tokens = each.rendered.tail_tokens;
    p.cluster = each.example.cluster;
    p.meta = each.example.meta;
    p.outputs = each.example.outputs;
    p.score = group.task->score(each.example, answer.text);
    p.answer = answer;
    return p;
}

}  // namespace

// Making long texts and counting their tokens takes a while; each example is by itself.
std::vector<asked> make_group(const model & m, const eval_settings & settings, const example_group & group) {
    std::vector<asked> made(static_cast<size_t>(group.end - group.first));
    std::exception_ptr problem;
#pragma omp parallel for schedule(dynamic)
    for (int64_t index = group.first; index < group.end; ++index) {
        try {
            if (settings.stop != nullptr && settings.stop->load(std::memory_order_relaxed)) {
                throw interrupted();
            }
            made[static_cast<size_t>(index - group.first)] = make_asked(m, settings, group, index);
        } catch (...) {
#pragma omp critical
            problem = std::current_exception();
        }
    }
    if (problem) {
        std::rethrow_exception(problem);
    }
    return made;
}

int64_t model_tokenizer::count_prompt(const eval_example & e) const {
    return static_cast<int64_t>(model_.tokenise_chat(e.turns, e.answer_prefix, !e.chat_template).ids.size());
}

std::string answer_key(const eval_settings & settings, const eval_arm & a, const example_group & group, int64_t index) {
    const task_facts & facts = group.task->facts();
    const std::string revision = facts.revision == 0 ? "" : fmt::format(" r{}", facts.revision);
    const std::string files = facts.files.empty() ? "" : fmt::format(" {}", sha256_of_text(facts.files).substr(0, 12));
    return fmt::format("{}/{} {} #{} {} {} ({} {} {} {}{}{})", facts.suite, facts.name, group.length, index, a.name,
                       a.identity(), settings.model_sha256.substr(0, 12), settings.data_identity, settings.n_together,
                       settings.device.empty() ? "cpu" : settings.device, revision, files);
}

bool is_missing(const eval_settings & settings, const record_store & records, const eval_arm & a,
                const example_group & group) {
    for (int64_t index = group.first; index < group.end; ++index) {
        if (records.find(answer_key(settings, a, group, index)) == nullptr) {
            return true;
        }
    }
    return false;
}

double group_weight(const example_group & group) {
    return static_cast<double>(group.end - group.first) * stage_clock::weight_of(group.length);
}

void measure_group(arm_sessions & sessions, const eval_settings & settings, record_store & records, stage_clock & clock,
                   const example_group & group, const std::vector<asked> & made) {
    const task_facts & facts = group.task->facts();
    for (const eval_arm & a : settings.arms) {
        if (!is_missing(settings, records, a, group)) {
            continue;
        }
        const std::string item = fmt::format("{}/{} {} #{}-{} {}", facts.suite, facts.name, group.length, group.first,
                                             group.end - 1, a.name);
        clock.begin(item, group_weight(group));
        std::vector<answered> answers = answer_group(sessions, a, made, [&](double share) { clock.within(share); });
        const double wall_seconds = clock.lap() / static_cast<double>(answers.size());
        double score = 0;
        for (size_t i = 0; i < answers.size(); ++i) {
            answers[i].wall_seconds = wall_seconds;
            const prediction p = prediction_for(a, group, made[i], answers[i]);
            const std::string key = answer_key(settings, a, group, group.first + static_cast<int64_t>(i));
            score += p.score.value / static_cast<double>(answers.size());
            if (records.find(key) == nullptr) {
                records.append(key, to_json(p));
            }
        }
        clock.end(fmt::format("{}: {:.0f}", item, 100 * score));
    }
}

}  // namespace tmx
