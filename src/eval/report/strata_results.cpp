#include "eval/report/strata_results.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

namespace tmx {
namespace {

// What examples may say of themselves (eval_example::meta).
struct criterion {
    const char * name;
    bool of_suite;  // its tasks together, each of them in one stratum
    bool has_area;  // values are numbers
};
constexpr criterion k_criteria[] = {{"group", true, false},   {"bucket", false, false}, {"difficulty", false, false},
                                    {"length", false, false}, {"domain", false, false}, {"cut", false, false},
                                    {"op", false, true}};

// One stratum's examples, or those of an area. Every part weighs the same.
struct counted_pair {
    const answer_pair * pair;
    std::string part;
    double weight;
};

double number_in(const std::string & text) {
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

void add_scores(stratum_result & r, const std::vector<counted_pair> & pairs) {
    std::map<std::string, double> sizes;
    for (const counted_pair & each : pairs) {
        sizes[each.part] += 1;
    }
    const auto n_parts = static_cast<double>(sizes.size());
    std::vector<paired_difference> differences;
    for (const counted_pair & each : pairs) {
        const double points = k_points * each.weight;
        const double share = points / sizes[each.part] / n_parts;
        r.reference += share * each.pair->reference.score.value;
        r.other += share * each.pair->other.score.value;
        differences.push_back({points * each.pair->d(), each.part, each.pair->other.cluster});
    }
    r.n = static_cast<int64_t>(pairs.size());
    r.difference = bootstrap_pairs(differences);
}

using by_value = std::map<double, std::vector<counted_pair>>;

// The trapezoidal rule gives each value half of the distance between its neighbours.
std::vector<counted_pair> weighed_for_area(const by_value & values) {
    std::vector<counted_pair> all;
    for (auto at = values.begin(); at != values.end(); ++at) {
        const double before = at == values.begin() ? at->first : std::prev(at)->first;
        const double behind = std::next(at) == values.end() ? at->first : std::next(at)->first;
        for (counted_pair each : at->second) {
            each.weight = static_cast<double>(values.size()) * (behind - before) / 2;
            all.push_back(std::move(each));
        }
    }
    return all;
}

}  // namespace

std::vector<stratum_result> summarise_strata(const arm_pairs & pairs) {
    std::vector<stratum_result> results;
    std::vector<std::vector<counted_pair>> of_result;
    for (const criterion & by : k_criteria) {
        for (const answer_pair & pair : pairs.answers) {
            const prediction & p = pair.other;
            const auto said = p.meta.find(by.name);
            if (said == p.meta.end() || is_vacuous(*pairs.arm, pair)) {
                continue;
            }
            const std::string task = by.of_suite ? "" : p.task;
            const auto found = std::find_if(results.begin(), results.end(), [&](const stratum_result & r) {
                return r.suite == p.suite && r.task == task && r.length == p.length && r.by == by.name &&
                       r.value == said->second;
            });
            const auto number = static_cast<size_t>(found - results.begin());
            if (found == results.end()) {
                results.push_back({p.suite, task, p.length, pairs.arm->name, by.name, said->second});
                of_result.emplace_back();
            }
            of_result[number].push_back({&pair, by.of_suite ? p.task : said->second, 1});
        }
    }
    std::map<std::tuple<std::string, std::string, int64_t, std::string>, by_value> curves;
    for (size_t i = 0; i < results.size(); ++i) {
        stratum_result & r = results[i];
        add_scores(r, of_result[i]);
        const auto by = std::find_if(std::begin(k_criteria), std::end(k_criteria),
                                     [&](const criterion & each) { return r.by == each.name; });
        if (by->has_area) {
            curves[{r.suite, r.task, r.length, r.by}][number_in(r.value)] = of_result[i];
        }
    }
    for (const auto & [name, values] : curves) {
        if (values.size() >= 2) {
            const auto & [suite, task, length, by] = name;
            results.push_back({suite, task, length, pairs.arm->name, by, ""});
            add_scores(results.back(), weighed_for_area(values));
        }
    }
    return results;
}

}  // namespace tmx
