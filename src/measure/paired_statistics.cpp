#include "measure/paired_statistics.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "measure/random_source.h"
#include "runtime/fidelity.h"

namespace tmx {
namespace {

struct cluster_sum {
    double sum = 0;
    double n = 0;
};
using stratum_clusters = std::vector<cluster_sum>;

std::vector<stratum_clusters> grouped(std::span<const paired_difference> pairs) {
    std::map<std::string, std::map<std::string, cluster_sum>> strata;
    for (size_t i = 0; i < pairs.size(); ++i) {
        const paired_difference & pair = pairs[i];
        // No cluster's own name begins with a zero byte.
        std::string name = pair.cluster;
        if (name.empty()) {
            name.push_back('\0');
            name.append(std::to_string(i));
        }
        cluster_sum & sum = strata[pair.stratum][name];
        sum.sum += pair.d;
        sum.n += 1;
    }
    std::vector<stratum_clusters> result;
    for (const auto & [name, clusters] : strata) {
        result.emplace_back();
        for (const auto & [cluster, sum] : clusters) {
            result.back().push_back(sum);
        }
    }
    return result;
}

double mean_of(const stratum_clusters & clusters) {
    cluster_sum all;
    for (const cluster_sum & each : clusters) {
        all.sum += each.sum;
        all.n += each.n;
    }
    return all.n > 0 ? all.sum / all.n : 0;
}

double normal_below(double z) {
    return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

// The z below which a normal variable lies with probability p, by bisection of normal_below.
double normal_quantile(double p) {
    double low = -40;
    double high = 40;
    for (int i = 0; i < 200; ++i) {
        const double middle = (low + high) / 2;
        (normal_below(middle) < p ? low : high) = middle;
    }
    return (low + high) / 2;
}

// Skew of the mean, from leaving out one cluster at a time (Efron's a).
double acceleration(const std::vector<stratum_clusters> & strata) {
    double squares = 0;
    double cubes = 0;
    for (const stratum_clusters & clusters : strata) {
        const double mean = mean_of(clusters);
        double n = 0;
        for (const cluster_sum & each : clusters) {
            n += each.n;
        }
        for (const cluster_sum & each : clusters) {
            // Influence of the cluster on the mean of its stratum; every stratum weighs the same.
            const double influence = (each.sum - each.n * mean) / n;
            squares += influence * influence;
            cubes += influence * influence * influence;
        }
    }
    return squares > 0 ? cubes / (6 * std::pow(squares, 1.5)) : 0;
}

double log_choose(int64_t n, int64_t k) {
    return std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(k) + 1) -
           std::lgamma(static_cast<double>(n - k) + 1);
}

}  // namespace

mean_difference bootstrap_pairs(std::span<const paired_difference> pairs, int n_resamples) {
    mean_difference result;
    result.n = static_cast<int64_t>(pairs.size());
    if (pairs.empty()) {
        return result;
    }
    const std::vector<stratum_clusters> strata = grouped(pairs);
    const auto n_strata = static_cast<double>(strata.size());
    for (const stratum_clusters & clusters : strata) {
        result.mean += mean_of(clusters) / n_strata;
    }
    random_source random(20260101);
    std::vector<double> means(static_cast<size_t>(n_resamples));
    for (double & mean : means) {
        for (const stratum_clusters & clusters : strata) {
            cluster_sum all;
            for (size_t i = 0; i < clusters.size(); ++i) {
                const cluster_sum & drawn = clusters[random.below(clusters.size())];
                all.sum += drawn.sum;
                all.n += drawn.n;
            }
            mean += all.sum / all.n / n_strata;
        }
    }
    std::sort(means.begin(), means.end());
    result.low = quantile(means, 0.025);
    result.high = quantile(means, 0.975);
    result.one_sided_low = quantile(means, 0.05);
    result.one_sided_high = quantile(means, 0.95);
    result.bca_low = result.low;
    result.bca_high = result.high;
    // Resamples that equal the mean count half: with few values there are many of them. Sums are rounded, hence the
    // tolerance.
    const double near = 1e-12 * (1 + std::abs(result.mean));
    double below = 0;
    for (const double mean : means) {
        below += mean < result.mean - near ? 1 : mean <= result.mean + near ? 0.5 : 0;
    }
    const double share = below / static_cast<double>(n_resamples);
    if (means.front() < means.back() && share > 0 && share < 1) {
        const double z0 = normal_quantile(share);
        const double a = acceleration(strata);
        const auto corrected = [&](double z) {
            return quantile(means, normal_below(z0 + (z0 + z) / (1 - a * (z0 + z))));
        };
        result.bca_low = corrected(normal_quantile(0.025));
        result.bca_high = corrected(normal_quantile(0.975));
    }
    return result;
}

double sign_flip_p(std::span<const double> differences) {
    std::vector<double> d;
    double sum = 0;
    for (const double each : differences) {
        if (each != 0) {
            d.push_back(std::abs(each));
            sum += each;
        }
    }
    if (d.empty()) {
        return 1;
    }
    double total = 0;
    for (const double each : d) {
        total += each;
    }
    const double seen = std::abs(sum) - 1e-9 * total;  // sums are rounded
    const bool exact = d.size() <= 20;
    const uint64_t n = exact ? uint64_t{1} << d.size() : 10'000;
    random_source random(20260102);
    uint64_t as_far = 0;
    for (uint64_t draw = 0; draw < n; ++draw) {
        double flipped = total;
        uint64_t bits = draw;
        for (size_t i = 0; i < d.size(); ++i) {
            if (!exact && i % 64 == 0) {
                bits = random.next();
            }
            flipped -= (bits >> (i % 64) & 1) != 0 ? 2 * d[i] : 0;
        }
        as_far += std::abs(flipped) >= seen ? 1 : 0;
    }
    // What was seen is one of the draws.
    return exact ? static_cast<double>(as_far) / static_cast<double>(n)
                 : static_cast<double>(as_far + 1) / static_cast<double>(n + 1);
}

double mcnemar_p(int64_t b, int64_t c) {
    const int64_t n = b + c;
    double tail = 0;
    for (int64_t k = 0; k <= std::min(b, c); ++k) {
        tail += std::exp(log_choose(n, k) - static_cast<double>(n) * std::log(2.0));
    }
    return std::min(1.0, 2 * tail);
}

std::vector<double> holm_adjusted(std::span<const double> p) {
    std::vector<size_t> order(p.size());
    for (size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
    std::vector<double> adjusted(p.size());
    double largest = 0;
    for (size_t k = 0; k < order.size(); ++k) {
        largest = std::max(largest, p[order[k]] * static_cast<double>(p.size() - k));
        adjusted[order[k]] = std::min(1.0, largest);
    }
    return adjusted;
}

double bound_of_nothing_seen(int64_t n) {
    return n > 0 ? 1 - std::pow(0.05, 1 / static_cast<double>(n)) : 1;
}

const char * name_of(verdict v) {
    switch (v) {
        case verdict::pass:
            return "PASS";
        case verdict::fail:
            return "FAIL";
        case verdict::inconclusive:
            break;
    }
    return "INCONCLUSIVE";
}

verdict not_worse(const mean_difference & difference, double margin) {
    if (difference.n == 0) {
        return verdict::inconclusive;
    }
    if (difference.one_sided_low > -margin) {
        return verdict::pass;
    }
    return difference.one_sided_high < -margin ? verdict::fail : verdict::inconclusive;
}

}  // namespace tmx
