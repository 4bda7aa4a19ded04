#include "eval/run/run_eval.h"

#include <algorithm>
#include <future>
#include <utility>

#include "eval/run/fidelity_stage.h"
#include "eval/run/task_stage.h"
#include "eval/task_table.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr const char * k_fidelity = "fidelity";

// Groups in the order in which they are done: by length, and in a length some of everything before more of anything.
// One without a task stands for the fidelity prompts of its numbers.
std::vector<example_group> list_work(const eval_settings & settings,
                                     const std::vector<std::unique_ptr<eval_task>> & tasks) {
    std::vector<example_group> work;
    const int64_t longest = *std::max_element(settings.lengths.begin(), settings.lengths.end());
    for (const int64_t length : settings.lengths) {
        for (int64_t first = 0; first < settings.n; first += settings.n_together) {
            const int64_t end = std::min(first + settings.n_together, settings.n);
            if (has_fidelity(settings)) {
                work.push_back({nullptr, length, first, end});
            }
            for (const auto & task : tasks) {
                const task_facts & facts = task->facts();
                const int64_t last = facts.n_examples < 0 ? end : std::min(end, facts.n_examples);
                if (first < last && (facts.budgeted || length == longest)) {
                    work.push_back({task.get(), length, first, last});
                }
            }
        }
    }
    return work;
}

double weight_of(const eval_settings & settings, const record_store & records, const example_group & group) {
    double weight = 0;
    if (group.task == nullptr) {
        for (int64_t index = group.first; index < group.end; ++index) {
            weight += fidelity_weight(settings, records, group.length, index);
        }
        return weight;
    }
    for (const eval_arm & a : settings.arms) {
        weight += is_missing(settings, records, a, group) ? group_weight(group) : 0;
    }
    return weight;
}

// Examples of the work's tasks, in its order. Where a device computes, a group's are made while it is busy with the
// group before; on the CPU that would take the cores from prompts whose time is measured.
class made_examples {
  public:
    made_examples(const model & m, const eval_settings & settings, const std::vector<example_group> & work)
        : model_(m), settings_(settings), work_(work) {}

    // Of the next group that has a task. ERRORS as make_group's.
    std::vector<asked> next() {
        std::vector<asked> made = ahead_.valid() ? ahead_.get() : make_group(model_, settings_, next_group());
        if (!settings_.device.empty() && find_group() < work_.size()) {
            ahead_ = std::async(std::launch::async,
                                [this, group = next_group()] { return make_group(model_, settings_, group); });
        }
        return made;
    }

  private:
    const model & model_;
    const eval_settings & settings_;
    const std::vector<example_group> & work_;
    size_t at_ = 0;                          // work before it is made, or being made
    std::future<std::vector<asked>> ahead_;  // its destructor waits

    size_t find_group() {
        while (at_ < work_.size() && work_[at_].task == nullptr) {
            ++at_;
        }
        return at_;
    }
    const example_group & next_group() {
        find_group();
        return work_[at_++];
    }
};

}  // namespace

bool has_fidelity(const eval_settings & settings) {
    return std::find(settings.suites.begin(), settings.suites.end(), k_fidelity) != settings.suites.end();
}

std::vector<std::unique_ptr<eval_task>> open_tasks(const eval_settings & settings) {
    std::vector<std::unique_ptr<eval_task>> tasks;
    std::vector<const task_row *> opened;
    for (const std::string & suite : settings.suites) {
        if (suite == k_fidelity) {
            continue;
        }
        for (const task_row * row : find_tasks(suite)) {
            if (std::find(opened.begin(), opened.end(), row) == opened.end()) {
                opened.push_back(row);
                tasks.push_back(row->open(settings.sources, row->name));
            }
        }
    }
    return tasks;
}

int64_t context_of_run(const eval_settings & settings) {
    const int64_t longest = *std::max_element(settings.lengths.begin(), settings.lengths.end());
    return longest + (has_fidelity(settings) ? std::max(settings.n_following, settings.n_document) : 0);
}

eval_progress run_eval(backend & b, arm_models & models, const eval_settings & settings,
                       const std::vector<std::unique_ptr<eval_task>> & tasks, record_store & records,
                       const progress_sink & sink) {
    std::vector<example_group> work = list_work(settings, tasks);
    std::erase_if(work, [&](const example_group & group) { return weight_of(settings, records, group) <= 0; });
    double total = 0;
    for (const example_group & group : work) {
        total += weight_of(settings, records, group);
    }
    eval_progress done;
    const double start = seconds_now();
    const progress_sink with_rest = [&](const run_progress & p) {
        run_progress known = p;
        known.seconds_left = p.weight_done > 0 ? p.seconds / p.weight_done * p.weight_left : -1;
        sink(known);
    };
    stage_clock clock("eval", total, with_rest);
    arm_sessions sessions(b, models, settings, context_of_run(settings));
    made_examples examples(models.text(), settings, work);
    for (const example_group & group : work) {
        done.seconds = seconds_now() - start;
        if (settings.seconds_limit > 0 && done.seconds > settings.seconds_limit) {
            return done;
        }
        if (group.task != nullptr) {
            measure_group(sessions, settings, records, clock, group, examples.next());
            continue;
        }
        for (int64_t index = group.first; index < group.end; ++index) {
            measure_fidelity(sessions, settings, records, clock, group.length, index);
        }
    }
    done.complete = true;
    done.seconds = seconds_now() - start;
    return done;
}

std::vector<std::string> keys_of_run(const eval_settings & settings,
                                     const std::vector<std::unique_ptr<eval_task>> & tasks) {
    std::vector<std::string> keys;
    for (const example_group & group : list_work(settings, tasks)) {
        for (int64_t index = group.first; index < group.end; ++index) {
            for (size_t i = group.task == nullptr ? 1 : 0; i < settings.arms.size(); ++i) {
                keys.push_back(group.task == nullptr ? fidelity_key(settings, settings.arms[i], group.length, index)
                                                     : answer_key(settings, settings.arms[i], group, index));
            }
        }
    }
    return keys;
}

}  // namespace tmx
