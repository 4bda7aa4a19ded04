#include "profile/findings.h"

#include <map>
#include <nlohmann/json.hpp>

namespace tmx {
namespace {

using json = nlohmann::ordered_json;

json distances(const std::vector<set_effect> & effects) {
    const effect_summary s = summarise(effects);
    return {{"prompts", effects.size()},           {"first_kl_mean", s.first_kl}, {"first_kl_worst", s.worst_first_kl},
            {"following_kl_mean", s.following_kl}, {"same_top", s.n_same_top},    {"positions", s.n_positions}};
}

std::string set_of(const profile_result & r, int64_t size) {
    return format_units(std::span(r.order.units).first(static_cast<size_t>(size)));
}

std::vector<json> findings_of(const profile_settings & settings, const profile_result & r) {
    std::vector<json> rows;
    for (const score_quality & q : r.qualities) {
        rows.push_back({{"finding", "score"},
                        {"score", q.score},
                        {"prompts", r.gradients.size()},
                        {"rank_correlation", q.rank_correlation.value},
                        {"low", q.rank_correlation.low},
                        {"high", q.rank_correlation.high}});
    }
    for (const measured_size & m : r.curve) {
        rows.push_back(
            {{"finding", "size"}, {"size", m.size}, {"set", set_of(r, m.size)}, {"first_kl_mean", m.mean_kl}});
    }
    if (!r.check.empty()) {
        json row = {{"finding", "chosen"},
                    {"way", "the plan"},
                    {"ordered_by", settings.how == choose_by::given ? "given" : settings.score},
                    {"chosen_by", name_of(settings.how)},
                    {"value", settings.value},
                    {"size", r.chosen.size},
                    {"set", set_of(r, r.chosen.size)}};
        row.update(distances(r.check));
        rows.push_back(row);
    }
    std::map<std::string, std::vector<set_effect>> ways;
    for (const auto & [way, effect] : r.yardsticks) {
        ways[way].push_back(effect);
    }
    for (const auto & [way, effects] : ways) {
        json row = {{"finding", "yardstick"}, {"way", way}, {"set", format_units({})}};
        row.update(distances(effects));
        rows.push_back(row);
    }
    return rows;
}

json run_of(const profile_settings & settings, const profile_result & r, const report_facts & facts) {
    return {{"finding", "run"},
            {"method", name_of_method(settings)},
            {"lengths", settings.prompts.lengths},
            {"prompts", r.n_prompts},
            {"on_file", r.n_on_file},
            {"seconds", facts.seconds},
            {"peak_rss_bytes", facts.peak_memory_bytes},
            {"threads", settings.n_threads}};
}

}  // namespace

std::string findings_jsonl(const profile_settings & settings, const profile_result & r, const report_facts & facts) {
    std::string text;
    std::vector<json> rows = findings_of(settings, r);
    rows.push_back(run_of(settings, r, facts));
    for (json & row : rows) {
        row["model"] = r.facts.path.substr(r.facts.path.rfind('/') + 1);
        row["model_sha256"] = r.model_sha256;
        row["command"] = facts.command;
        row["machine"] = facts.machine;
        row["commit"] = facts.commit;
        row["date"] = facts.date;
        text += row.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    }
    return text;
}

}  // namespace tmx
