#include "summary.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>

namespace tmx {
namespace {

double mean(const std::vector<double> & sample) {
    double sum = 0;
    for (const double value : sample) {
        sum += value;
    }
    return sample.empty() ? 0 : sum / static_cast<double>(sample.size());
}

// KL of one prompt as the order wants it.
double damage(const record & r, const std::string & order_by) {
    if (order_by == "first") {
        return r.distance.first_kl;
    }
    return (r.distance.first_kl + r.distance.following_kl * static_cast<double>(r.distance.n_following)) /
           static_cast<double>(r.distance.n_positions);
}

struct arm_summary {
    std::string name;
    int64_t n_layers = 0;
    std::vector<double> first;
    std::vector<double> following;
    std::map<std::string, std::vector<double>> first_by_kind;
    std::vector<double> order_value;
    int64_t n_same_top = 0;
    int64_t n_positions = 0;
};

std::vector<arm_summary> collect(const std::string & stage, const std::string & order_by,
                                 const std::vector<record> & records) {
    std::map<std::string, arm_summary> by_name;
    for (const record & r : records) {
        if (r.stage != stage) {
            continue;
        }
        arm_summary & s = by_name[r.arm + " " + r.precision];
        s.name = r.precision == "fast" ? r.arm + " (fast)" : r.arm;
        s.n_layers = r.n_layers;
        s.first.push_back(r.distance.first_kl);
        s.following.push_back(r.distance.following_kl);
        s.first_by_kind[r.kind].push_back(r.distance.first_kl);
        s.order_value.push_back(damage(r, order_by));
        s.n_same_top += r.distance.n_same_top;
        s.n_positions += r.distance.n_positions;
    }
    std::vector<arm_summary> all;
    for (auto & [key, summary] : by_name) {
        all.push_back(std::move(summary));
    }
    return all;
}

}  // namespace

std::vector<int32_t> order_layers(const std::vector<record> & records, const std::string & order_by,
                                  const std::string & precision) {
    std::vector<record> chosen;
    std::copy_if(records.begin(), records.end(), std::back_inserter(chosen),
                 [&](const record & r) { return r.precision == precision; });
    std::vector<arm_summary> all = collect("ablate", order_by, chosen);
    std::stable_sort(all.begin(), all.end(), [](const arm_summary & a, const arm_summary & b) {
        return mean(a.order_value) < mean(b.order_value);
    });
    std::vector<int32_t> order;
    for (const arm_summary & s : all) {
        int32_t layer = 0;
        std::from_chars(s.name.data(), s.name.data() + s.name.size(), layer);
        order.push_back(layer);
    }
    return order;
}

void print_summary(const std::string & stage, const std::string & order_by, const std::string & precision,
                   const std::vector<record> & records) {
    std::vector<arm_summary> all = collect(stage, order_by, records);
    const bool ablate = stage == "ablate";
    std::stable_sort(all.begin(), all.end(), [&](const arm_summary & a, const arm_summary & b) {
        return ablate || a.n_layers == b.n_layers ? mean(a.order_value) < mean(b.order_value) : a.n_layers < b.n_layers;
    });
    fmt::print("{:>6}  {:>9} {:>9} {:>9}  {:>9}  {:>8}  {:>9} {:>9} {:>9}  {}\n", "layers", "first KL", "median",
               "largest", "following", "same top", "key_value", "needle", "question", "set");
    for (const arm_summary & s : all) {
        const auto kind = [&](const char * name) {
            const auto found = s.first_by_kind.find(name);
            return found == s.first_by_kind.end() ? std::string("-") : fmt::format("{:.2e}", mean(found->second));
        };
        fmt::print("{:>6}  {:>9.2e} {:>9.2e} {:>9.2e}  {:>9.2e}  {:>7.1f}%  {:>9} {:>9} {:>9}  {}\n", s.n_layers,
                   mean(s.first), median(s.first), *std::max_element(s.first.begin(), s.first.end()), mean(s.following),
                   100.0 * static_cast<double>(s.n_same_top) / static_cast<double>(s.n_positions), kind("key_value"),
                   kind("needle"), kind("question"), s.name);
    }
    if (ablate) {
        fmt::print("order, least damaging first:");
        for (const int32_t layer : order_layers(records, order_by, precision)) {
            fmt::print(" {}", layer);
        }
        fmt::print("\n");
    }
}

}  // namespace tmx
