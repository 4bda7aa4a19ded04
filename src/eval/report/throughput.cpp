#include "eval/report/throughput.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "eval/run/prediction.h"

namespace tmx {

std::vector<throughput_result> throughput_of(const record_store & records, const std::vector<std::string> & keys) {
    std::vector<throughput_result> results;
    std::map<std::pair<std::string, int64_t>, std::set<std::string>> arms;
    for (const std::string & key : keys) {
        const record_store::json * record = records.find(key);
        if (record == nullptr || record->at("kind") != "answer") {
            continue;
        }
        const prediction p = prediction_of(*record);
        auto r = std::find_if(results.begin(), results.end(), [&](const throughput_result & each) {
            return each.suite == p.suite && each.length == p.length;
        });
        if (r == results.end()) {
            r = results.insert(r, {p.suite, p.length});
        }
        arms[{p.suite, p.length}].insert(p.arm);
        ++r->n;
        r->prompt_tokens += static_cast<double>(p.n_prompt);
        r->answer_tokens += static_cast<double>(p.answer.tokens.size());
        r->prefill_seconds += p.answer.prefill_seconds;
        r->wall_seconds += p.answer.wall_seconds;
    }
    for (throughput_result & r : results) {
        r.n_arms = static_cast<int64_t>(arms[{r.suite, r.length}].size());
        r.prompt_tokens /= static_cast<double>(r.n);
        r.answer_tokens /= static_cast<double>(r.n);
    }
    return results;
}

}  // namespace tmx
