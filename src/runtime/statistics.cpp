#include "runtime/statistics.h"

#include "runtime/failure.h"

namespace tmx {

double backend_statistics::kept_share() const {
    const double all = pairs_kept + pairs_skipped;
    return all > 0 ? pairs_kept / all : 1.0;
}

std::string backend_statistics::fallback_text() const {
    std::string text;
    for (const auto & [reason, times] : fallbacks) {
        text += (text.empty() ? "" : ", ") + std::to_string(times) + " " + reason;
    }
    return text.empty() ? "none" : text;
}

backend_statistics parse_statistics(const std::string & json_text) {
    backend_statistics s;
    try {
        s.raw = nlohmann::ordered_json::parse(json_text);
        s.kernel = s.raw.at("kernel").is_string() ? s.raw.at("kernel").get<std::string>() : "";
        const auto & nodes = s.raw.at("nodes");
        s.n_planned = nodes.at("triangle").get<int64_t>() + nodes.value("dynamic", int64_t{0});
        s.n_dense = nodes.at("dense").get<int64_t>() + nodes.at("masked").get<int64_t>();
        for (const auto & [reason, times] : s.raw.at("fallbacks").items()) {
            s.fallbacks[reason] = times;
        }
        for (const auto & [reason, times] : s.raw.at("gpu").at("passed_on").items()) {
            s.passed_on[reason] = times;
        }
        s.n_whole_graphs = s.raw.at("gpu").at("graphs").at("whole");
        for (const auto & [reason, times] : s.raw.at("declined").items()) {
            s.declined.push_back(reason);
        }
        s.plan_refused = s.raw.at("plan_refused").is_string() ? s.raw.at("plan_refused").get<std::string>() : "";
        s.pairs_kept = s.raw.at("pairs").at("kept").get<double>() + s.raw.at("pairs").at("masked").get<double>();
        s.pairs_skipped = s.raw.at("pairs").at("skipped");
        for (const auto & each : s.raw.at("selected")) {
            const auto & seconds = each.at("seconds");
            s.selections.push_back({each.at("rule"), each.at("density"),
                                    seconds.is_null() ? std::nullopt : std::optional<double>(seconds.get<double>())});
        }
        s.seconds = s.raw.at("seconds");
        for (const auto & product : s.raw.at("products").at("computed")) {
            s.n_products += product.at("nodes").get<int64_t>();
            s.product_seconds += product.at("seconds").get<double>();
            const std::string arithmetic = product.at("arithmetic");
            s.product_ways += (s.product_ways.empty() ? "" : ", ") + product.at("weights").get<std::string>() +
                              (arithmetic == "host" ? "" : " in " + arithmetic);
        }
    } catch (const nlohmann::json::exception & error) {
        throw failure(std::string("the backend's statistics are not understood (another version?): ") + error.what());
    }
    return s;
}

}  // namespace tmx
