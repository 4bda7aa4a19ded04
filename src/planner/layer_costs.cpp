#include "planner/layer_costs.h"

#include "runtime/failure.h"

namespace tmx {

using json = nlohmann::ordered_json;

std::vector<layer_cost> layer_costs(const backend_statistics & s, int32_t n_layer) {
    std::vector<layer_cost> costs(static_cast<size_t>(n_layer));
    try {
        for (const json & layer : s.raw.at("layers")) {
            const int64_t number = layer.at("layer");
            if (number < 0 || number >= n_layer) {
                continue;  // of attention whose layer is not known
            }
            const json & pairs = layer.at("pairs");
            costs[static_cast<size_t>(number)] = {pairs.at("kept").get<double>() + pairs.at("masked").get<double>(),
                                                  pairs.at("skipped"), layer.at("seconds")};
        }
    } catch (const json::exception & error) {
        throw failure(std::string("the backend's statistics are not understood (another version?): ") + error.what());
    }
    return costs;
}

json costs_json(const std::vector<layer_cost> & costs) {
    json rows = json::array();
    for (const layer_cost & cost : costs) {
        rows.push_back({cost.kept, cost.skipped, cost.seconds});
    }
    return rows;
}

std::vector<layer_cost> costs_of_json(const json & record) {
    std::vector<layer_cost> costs;
    for (const json & row : record) {
        costs.push_back({row.at(0), row.at(1), row.at(2)});
    }
    return costs;
}

layer_cost sum_of(const std::vector<layer_cost> & costs) {
    layer_cost sum;
    for (const layer_cost & cost : costs) {
        sum.kept += cost.kept;
        sum.skipped += cost.skipped;
        sum.seconds += cost.seconds;
    }
    return sum;
}

double kept_share(const std::vector<layer_cost> & costs) {
    const layer_cost sum = sum_of(costs);
    const double all = sum.kept + sum.skipped;
    return all > 0 ? sum.kept / all : 1;
}

}  // namespace tmx
