#include "eval/report/fidelity_results.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "runtime/fidelity.h"

namespace tmx {
namespace {

using json = record_store::json;
using prompt_records = std::map<std::string, const json *>;  // by id

double first_kl(const json & record) {
    return record.at("first").at("kl");
}

double following_kl(const json & record) {
    return record.at("following").at("kl_mean");
}

double flip_share(const json & record) {
    const json & following = record.at("following");
    const auto n = static_cast<double>(following.at("n").get<int64_t>() + 1);
    const double first = record.at("first").at("same_top").get<bool>() ? 0 : 1;
    return (following.at("flips").get<double>() + first) / n;
}

template <class Value>
mean_difference mean_over(const prompt_records & prompts, const Value & value) {
    std::vector<paired_difference> values;
    for (const auto & [id, record] : prompts) {
        values.push_back({value(*record), "", ""});
    }
    return bootstrap_pairs(values);
}

// Without an interval, and without the resamples that it takes.
template <class Value>
double plain_mean(const prompt_records & prompts, const Value & value) {
    double sum = 0;
    for (const auto & [id, record] : prompts) {
        sum += value(*record);
    }
    return sum / static_cast<double>(prompts.size());
}

std::map<int64_t, prompt_records> by_length(const arm_pairs & arm) {
    std::map<int64_t, prompt_records> lengths;
    for (const json & record : arm.fidelity) {
        lengths[record.at("length")][record.at("id")] = &record;
    }
    return lengths;
}

fidelity_result result_of(const eval_arm & a, int64_t length, const prompt_records & prompts,
                          const prompt_records & floor, const eval_margins & margins) {
    fidelity_result r;
    r.length = length;
    r.arm = a.name;
    r.n = static_cast<int64_t>(prompts.size());
    r.first_kl = mean_over(prompts, first_kl);
    r.following_kl = mean_over(prompts, following_kl);
    r.flips = mean_over(prompts, flip_share);
    r.log_ratio = mean_over(prompts, [](const json & j) {
        return j.at("document_nll").get<double>() - j.at("document_nll_reference").get<double>();
    });
    const auto mean = [&](const auto & value) { return plain_mean(prompts, value); };
    r.first_same = mean([](const json & j) { return j.at("first").at("same_top").get<bool>() ? 1.0 : 0.0; });
    r.first_top5 = mean([](const json & j) { return j.at("first").at("top5").get<double>(); });
    r.first_js = mean([](const json & j) { return j.at("first").at("js").get<double>(); });
    const auto n_quarters = prompts.begin()->second->at("following").at("kl_quarters").size();
    for (size_t quarter = 0; quarter < n_quarters; ++quarter) {
        r.following_kl_quarters.push_back(
            mean([&](const json & j) { return j.at("following").at("kl_quarters").at(quarter).get<double>(); }));
    }
    r.following_kl_p95 = mean([](const json & j) { return j.at("following").at("kl_p95").get<double>(); });
    r.kept = mean([](const json & j) { return j.at("kept_share").get<double>(); });
    r.same_prefix =
        mean([](const json & j) { return j.at("same_spoken").get<double>() / j.at("n_spoken").get<double>(); });
    r.all_spoken_same = mean([](const json & j) { return j.at("same_spoken") == j.at("n_spoken") ? 1.0 : 0.0; });
    r.perplexity_reference =
        std::exp(mean([](const json & j) { return j.at("document_nll_reference").get<double>(); }));
    std::vector<double> ttft_reference, ttft_other;
    double confident = 0;
    double confident_flips = 0;
    std::vector<paired_difference> beyond_floor;
    for (const auto & [id, record] : prompts) {
        const json & following = record->at("following");
        r.following_kl_max = std::max(r.following_kl_max, following.at("kl_max").get<double>());
        confident += following.at("confident").get<double>();
        confident_flips += following.at("confident_flips").get<double>();
        ttft_reference.push_back(record->at("prefill_s_reference"));
        ttft_other.push_back(record->at("prefill_s"));
        const auto same_prompt = floor.find(id);
        if (same_prompt != floor.end()) {
            beyond_floor.push_back({flip_share(*same_prompt->second) - flip_share(*record), "", ""});
        }
    }
    r.confident_flips = confident > 0 ? confident_flips / confident : 0;
    r.ttft_reference = median(ttft_reference);
    r.ttft_other = median(ttft_other);
    // Lower perplexity is better, and so are fewer flips: signs as for scores.
    const mean_difference better = mean_over(prompts, [](const json & j) {
        return j.at("document_nll_reference").get<double>() - j.at("document_nll").get<double>();
    });
    r.perplexity_verdict = not_worse(better, std::log1p(margins.perplexity));
    r.flips_verdict = not_worse(bootstrap_pairs(beyond_floor), margins.flips);
    if (!floor.empty()) {
        r.floor_first_kl = plain_mean(floor, first_kl);
        r.floor_following_kl = plain_mean(floor, following_kl);
        r.floor_flips = plain_mean(floor, flip_share);
    }
    return r;
}

}  // namespace

std::vector<fidelity_result> summarise_fidelity(const std::vector<arm_pairs> & arms, const eval_margins & margins) {
    std::map<int64_t, prompt_records> floor;
    for (const arm_pairs & arm : arms) {
        if (arm.arm->role == arm_role::noise && floor.empty()) {
            floor = by_length(arm);
        }
    }
    std::vector<fidelity_result> results;
    for (const arm_pairs & arm : arms) {
        for (const auto & [length, prompts] : by_length(arm)) {
            results.push_back(result_of(*arm.arm, length, prompts, floor[length], margins));
        }
    }
    std::stable_sort(results.begin(), results.end(),
                     [](const fidelity_result & a, const fidelity_result & b) { return a.length < b.length; });
    return results;
}

}  // namespace tmx
