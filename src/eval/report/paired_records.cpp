#include "eval/report/paired_records.h"

#include <fmt/core.h>

#include <map>
#include <tuple>

#include "runtime/failure.h"

namespace tmx {
namespace {

// What makes two records ones of the same example.
using example_name = std::tuple<std::string, std::string, int64_t, std::string>;

example_name name_of(const prediction & p) {
    return {p.suite, p.task, p.length, p.id};
}

}  // namespace

bool is_vacuous(const eval_arm & a, const answer_pair & pair) {
    return !a.computed.plan_json.empty() && pair.other.vacuous();
}

std::vector<arm_pairs> pair_records(const eval_settings & settings, const record_store & records,
                                    const std::vector<std::string> & keys) {
    std::map<example_name, prediction> reference;
    std::vector<prediction> others;
    std::vector<arm_pairs> result(settings.arms.size() - 1);
    std::map<std::string, arm_pairs *> by_name;
    for (size_t i = 1; i < settings.arms.size(); ++i) {
        result[i - 1].arm = &settings.arms[i];
        by_name[settings.arms[i].name] = &result[i - 1];
    }
    for (const std::string & key : keys) {
        const record_store::json * record = records.find(key);
        if (record == nullptr) {
            continue;
        }
        try {
            if (record->at("kind") == "fidelity") {
                by_name.at(record->at("arm"))->fidelity.push_back(*record);
                continue;
            }
            prediction p = prediction_of(*record);
            if (p.arm == settings.arms.front().name) {
                const example_name name = name_of(p);
                reference.emplace(name, std::move(p));
            } else {
                others.push_back(std::move(p));
            }
        } catch (const nlohmann::json::exception & error) {
            throw failure(fmt::format("record {} of {} is not understood: {}", key, settings.folder, error.what()));
        }
    }
    for (prediction & p : others) {
        const auto found = reference.find(name_of(p));
        if (found == reference.end()) {
            continue;
        }
        if (found->second.ids_hash != p.ids_hash) {
            throw failure(fmt::format(
                "{}/{} {} #{}: {} and {} were given different tokens, so they cannot be compared (were records of "
                "another version put into {}?)",
                p.suite, p.task, p.length, p.id, found->second.arm, p.arm, settings.folder));
        }
        std::vector<answer_pair> & answers = by_name.at(p.arm)->answers;
        answers.push_back({found->second, std::move(p)});
    }
    return result;
}

}  // namespace tmx
