#include "eval/report/task_results.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "runtime/fidelity.h"
#include "trianglemix/geometry.h"

namespace tmx {
namespace {

constexpr double k_floor = 5;  // points
constexpr double k_ceiling = 99.5;
constexpr int64_t k_few_discordant = 2;

using cell_name = std::tuple<std::string, int64_t, std::string>;  // suite, length, task
using cell_pairs = std::vector<const answer_pair *>;

// Where dense attention answers next to nothing, nothing can be lost, so a difference of nothing shows nothing.
verdict verdict_of(double reference, const mean_difference & difference, double margin) {
    const verdict found = not_worse(difference, margin);
    return found == verdict::pass && reference < k_floor ? verdict::inconclusive : found;
}

std::vector<paired_difference> differences_of(const cell_pairs & pairs) {
    std::vector<paired_difference> differences;
    differences.reserve(pairs.size());
    for (const answer_pair * pair : pairs) {
        differences.push_back({k_points * pair->d(), pair->other.task, pair->other.cluster});
    }
    return differences;
}

// Exact McNemar where every difference is a whole answer, else flipped signs.
double p_of(const std::vector<paired_difference> & differences, int64_t b, int64_t c) {
    std::vector<double> d;
    bool whole = true;
    for (const paired_difference & each : differences) {
        d.push_back(each.d);
        whole = whole && (each.d == 0 || std::abs(each.d) == k_points);
    }
    return whole ? mcnemar_p(b, c) : sign_flip_p(d);
}

void add_gold(task_result & r, const answer_pair & pair) {
    if (pair.reference.answer.n_gold > 0 && pair.other.answer.n_gold > 0) {
        ++r.n_gold;
        r.gold_nll_reference += pair.reference.answer.gold_nll;
        r.gold_nll_other += pair.other.answer.gold_nll;
    }
}

task_result result_of(const eval_arm & a, const cell_name & name, const cell_pairs & all,
                      const eval_margins & margins) {
    task_result r;
    std::tie(r.suite, r.length, r.task) = name;
    r.arm = a.name;
    r.from = all.front()->other.from;
    cell_pairs pairs;
    for (const answer_pair * pair : all) {
        is_vacuous(a, *pair) ? static_cast<void>(++r.n_vacuous) : pairs.push_back(pair);
    }
    r.n = static_cast<int64_t>(pairs.size());
    const double share = r.n > 0 ? 1 / static_cast<double>(r.n) : 0;
    for (const answer_pair * pair : pairs) {
        r.reference += k_points * share * pair->reference.score.value;
        r.other += k_points * share * pair->other.score.value;
        r.b += pair->d() < 0 ? 1 : 0;
        r.c += pair->d() > 0 ? 1 : 0;
        r.not_found_reference += pair->reference.score.found ? 0 : share;
        r.not_found_other += pair->other.score.found ? 0 : share;
        r.long_tail += pair->other.tail_tokens > triangle_shape().n_last ? share : 0;
        r.tokens_reference += share * static_cast<double>(pair->reference.answer.tokens.size());
        r.tokens_other += share * static_cast<double>(pair->other.answer.tokens.size());
        add_gold(r, *pair);
    }
    if (r.n_gold > 0) {
        r.gold_nll_reference /= static_cast<double>(r.n_gold);
        r.gold_nll_other /= static_cast<double>(r.n_gold);
    }
    const std::vector<paired_difference> differences = differences_of(pairs);
    r.difference = bootstrap_pairs(differences);
    r.p = p_of(differences, r.b, r.c);
    r.uninformative = (r.reference < k_floor || r.reference > k_ceiling) && r.b + r.c < k_few_discordant;
    r.shown = verdict_of(r.reference, r.difference, margins.task);
    return r;
}

// The suite's examples of one length, whatever their task.
suite_result suite_of(const eval_arm & a, const std::vector<task_result> & tasks, const cell_pairs & pairs,
                      const eval_margins & margins) {
    suite_result r;
    r.suite = tasks.front().suite;
    r.length = tasks.front().length;
    r.arm = a.name;
    double n_informative = 0;
    for (const task_result & t : tasks) {
        r.n_vacuous += t.n_vacuous;
        if (t.n == 0) {
            continue;
        }
        ++r.n_tasks;
        r.n += t.n;
        r.reference += t.reference;
        r.other += t.other;
        if (!t.uninformative) {
            n_informative += 1;
            r.reference_informative += t.reference;
            r.other_informative += t.other;
        }
        if (r.worst_task.empty() || t.difference.mean < r.worst) {
            r.worst_task = t.task;
            r.worst = t.difference.mean;
        }
    }
    if (r.n == 0) {
        return r;
    }
    r.reference /= static_cast<double>(r.n_tasks);
    r.other /= static_cast<double>(r.n_tasks);
    if (n_informative > 0) {
        r.reference_informative /= n_informative;
        r.other_informative /= n_informative;
    }
    cell_pairs counted;
    std::vector<double> d, ttft_reference, ttft_other;
    r.sparse_least = 1;
    r.kept = 0;
    for (const answer_pair * pair : pairs) {
        if (is_vacuous(a, *pair)) {
            continue;
        }
        counted.push_back(pair);
        d.push_back(pair->d());
        ttft_reference.push_back(pair->reference.answer.prefill_seconds);
        ttft_other.push_back(pair->other.answer.prefill_seconds);
        const double sparse = sparse_fraction(pair->other.n_prompt);
        r.sparse_mean += sparse / static_cast<double>(r.n);
        r.sparse_least = std::min(r.sparse_least, sparse);
        r.kept += pair->other.answer.kept_share / static_cast<double>(r.n);
    }
    r.difference = bootstrap_pairs(differences_of(counted));
    r.p = sign_flip_p(d);
    r.ttft_reference = median(ttft_reference);
    r.ttft_other = median(ttft_other);
    const bool changed = std::any_of(d.begin(), d.end(), [](double each) { return each != 0; });
    r.nothing_seen_bound = changed ? 0 : bound_of_nothing_seen(r.n);
    r.shown = verdict_of(r.reference, r.difference, margins.average);
    return r;
}

}  // namespace

scored_arm score_arm(const arm_pairs & pairs, const eval_margins & margins) {
    scored_arm scored;
    scored.arm = pairs.arm;
    std::map<cell_name, cell_pairs> cells;
    std::vector<cell_name> order;  // of first appearance: that of the table of tasks
    for (const answer_pair & pair : pairs.answers) {
        const cell_name name = {pair.other.suite, pair.other.length, pair.other.task};
        cell_pairs & cell = cells[name];
        if (cell.empty()) {
            order.push_back(name);
        }
        cell.push_back(&pair);
    }
    for (const cell_name & name : order) {
        scored.tasks.push_back(result_of(*pairs.arm, name, cells[name], margins));
    }
    // One suite's results together, by length; Holm over all its tasks and lengths.
    std::map<std::string, std::vector<size_t>> by_suite;
    std::map<std::pair<std::string, int64_t>, std::vector<task_result>> groups;
    for (size_t i = 0; i < scored.tasks.size(); ++i) {
        by_suite[scored.tasks[i].suite].push_back(i);
    }
    for (const auto & [suite, numbers] : by_suite) {
        std::vector<double> p;
        for (const size_t i : numbers) {
            p.push_back(scored.tasks[i].p);
        }
        const std::vector<double> adjusted = holm_adjusted(p);
        for (size_t k = 0; k < numbers.size(); ++k) {
            scored.tasks[numbers[k]].p_holm = adjusted[k];
        }
    }
    for (const task_result & t : scored.tasks) {
        groups[{t.suite, t.length}].push_back(t);
    }
    for (const auto & [name, tasks] : groups) {
        cell_pairs of_group;
        for (const task_result & t : tasks) {
            const cell_pairs & cell = cells[{t.suite, t.length, t.task}];
            of_group.insert(of_group.end(), cell.begin(), cell.end());
        }
        scored.suites.push_back(suite_of(*pairs.arm, tasks, of_group, margins));
    }
    return scored;
}

}  // namespace tmx
