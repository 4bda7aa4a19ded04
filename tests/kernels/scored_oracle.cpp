#include "scored_oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tmx::test {
namespace {

constexpr double k_unit = 0x1p-24;  // of f32: half of its epsilon

// A sum of n products, each rounded, wanders by about unit * sqrt(n) * the size of the sum of their magnitudes; eight
// times that is out of reach. The means behind it (128 terms) and the scaling are terms of the same kind.
double wander(int64_t n_terms, double magnitude) {
    return 8 * k_unit * std::sqrt(static_cast<double>(n_terms + 130)) * magnitude;
}

// A weight e^x with x known within `error`, and the exponential's own rounding of two units.
double weight_error(double error) {
    return std::expm1(2 * error) + 4 * k_unit;  // twice: the exponent and the maximum that is taken off
}

double mean_key(const scored_layer & layer, int64_t key_head, int64_t block, int64_t i, bool as_if_whole) {
    double sum = 0;
    int64_t n = 0;
    for (int64_t rank = block * 128; rank < block * 128 + 128; ++rank) {
        if (rank < layer.shape.rank_end()) {
            sum += layer.key(key_head, rank, i);
            ++n;
        }
    }
    return sum / static_cast<double>(as_if_whole ? 128 : n);
}

std::vector<std::vector<double>> mean_keys(const scored_layer & layer, int64_t key_head, int64_t n_blocks,
                                           bool as_if_whole) {
    std::vector<std::vector<double>> means;
    for (int64_t block = 0; block < n_blocks; ++block) {
        std::vector<double> & mean = means.emplace_back();
        for (int64_t i = 0; i < layer.shape.d; ++i) {
            mean.push_back(mean_key(layer, key_head, block, i, as_if_whole));
        }
    }
    return means;
}

// An exponent of a row, known within an error.
struct logit {
    double value = -std::numeric_limits<double>::infinity();
    double error = 0;
};

double largest_of(const std::vector<logit> & row) {
    double largest = -std::numeric_limits<double>::infinity();
    for (const logit & each : row) {
        largest = std::max(largest, each.value);
    }
    return largest;
}

double largest_error(const std::vector<logit> & row) {
    double largest = 0;
    for (const logit & each : row) {
        largest = std::max(largest, each.error);
    }
    return largest;
}

}  // namespace

tile_ranks ranks_of_tile(const layer_shape & shape, int64_t tile) {
    const int64_t begin = shape.rank_begin + tile * 128;
    return {begin, std::min(begin + 128, shape.rank_end())};
}

block_scores means_scores(const scored_layer & layer, int64_t key_head, int64_t tile, bool tile_maximum) {
    const layer_shape & s = layer.shape;
    const tile_ranks rows = ranks_of_tile(s, tile);
    int64_t n_scored = 0;
    while ((n_scored + 1) * 128 <= rows.end) {
        ++n_scored;
    }
    const std::vector<std::vector<double>> means = mean_keys(layer, key_head, n_scored, false);
    std::vector<std::vector<logit>> votes;
    double tile_largest = -std::numeric_limits<double>::infinity();
    for (int64_t head = 0; head < s.n_head; ++head) {
        if (head / (s.n_head / s.n_head_kv) != key_head) {
            continue;
        }
        for (int64_t rank = rows.begin; rank < rows.end; ++rank) {
            std::vector<logit> row(static_cast<size_t>(n_scored));
            for (int64_t block = 0; block < n_scored; ++block) {
                if (block * 128 > rank) {
                    continue;
                }
                double dot = 0;
                double magnitude = 0;
                for (int64_t i = 0; i < s.d; ++i) {
                    const double product =
                        layer.query(head, rank, i) * means[static_cast<size_t>(block)][static_cast<size_t>(i)];
                    dot += product;
                    magnitude += std::abs(product);
                }
                const double scale = layer.args.scale;
                row[static_cast<size_t>(block)] = {dot * scale, wander(s.d, magnitude * std::abs(scale))};
            }
            tile_largest = std::max(tile_largest, largest_of(row));
            votes.push_back(std::move(row));
        }
    }
    block_scores scores(static_cast<size_t>(n_scored));
    for (const std::vector<logit> & row : votes) {
        const double shift = tile_maximum ? tile_largest : largest_of(row);
        const double error = largest_error(row);
        for (size_t block = 0; block < row.size(); ++block) {
            const double weight = std::exp(row[block].value - shift);
            scores[block].value += weight;
            scores[block].tolerance += weight * weight_error(error);
        }
    }
    for (known_score & score : scores) {
        score.tolerance += wander(static_cast<int64_t>(votes.size()), score.value);
        score.tolerance += 1e-30;  // what f32 flushes to zero
    }
    return scores;
}

block_scores xattention_scores(const scored_layer & layer, int64_t head, int64_t tile, int64_t stride, bool reference,
                               bool rounded) {
    const layer_shape & s = layer.shape;
    const tile_ranks rows = ranks_of_tile(s, tile);
    const int64_t key_head = head / (s.n_head / s.n_head_kv);
    block_scores scores(static_cast<size_t>((rows.end - 1) / 128 + 1));
    for (int64_t group = 0; group * stride < rows.end; ++group) {
        if (group * stride + stride <= rows.begin) {
            continue;
        }
        std::vector<logit> row;
        for (int64_t other = 0; other <= group; ++other) {
            double dot = 0;
            double magnitude = 0;
            int64_t n_queries = 0;
            for (int64_t t = 0; t < stride; ++t) {
                const int64_t query = group * stride + stride - 1 - t;
                const int64_t key = other * stride + t;
                if (query < s.rank_begin || query >= s.rank_end()) {
                    continue;
                }
                ++n_queries;
                if (key >= s.rank_end()) {
                    continue;
                }
                for (int64_t i = 0; i < s.d; ++i) {
                    const double product = layer.query(head, query, i, rounded) * layer.key(key_head, key, i, rounded);
                    dot += product;
                    magnitude += std::abs(product);
                }
            }
            const double scale = layer.args.scale / static_cast<double>(reference ? stride : n_queries);
            row.push_back({dot * scale, wander(s.d * stride, magnitude * std::abs(scale))});
        }
        double sum = 0;
        for (const logit & each : row) {
            sum += std::exp(each.value - largest_of(row));
        }
        for (size_t other = 0; other < row.size(); ++other) {
            const double mass = std::exp(row[other].value - largest_of(row)) / sum;
            known_score & score = scores[other * static_cast<size_t>(stride) / 128];
            score.value += mass;
            score.tolerance +=
                mass * (2 * weight_error(largest_error(row)) + wander(static_cast<int64_t>(row.size()), 1));
        }
    }
    for (known_score & score : scores) {
        score.tolerance += 1e-30;
    }
    return scores;
}

std::vector<std::vector<block_scores>> prism_scores(const scored_layer & layer, int64_t head,
                                                    const rotary_layout & rotary, bool reference) {
    const layer_shape & s = layer.shape;
    const int64_t n_tiles = (s.n_rows + 127) / 128;
    const int64_t n_blocks = (s.rank_end() - 1) / 128 + 1;
    const std::vector<std::vector<double>> keys =
        mean_keys(layer, head / (s.n_head / s.n_head_kv), n_blocks, reference);
    std::vector<std::vector<double>> queries;
    for (int64_t tile = 0; tile < n_tiles; ++tile) {
        const tile_ranks rows = ranks_of_tile(s, tile);
        std::vector<double> & mean = queries.emplace_back();
        for (int64_t i = 0; i < s.d; ++i) {
            double sum = 0;
            for (int64_t rank = rows.begin; rank < rows.end; ++rank) {
                sum += layer.query(head, rank, i);
            }
            mean.push_back(sum / static_cast<double>(reference ? 128 : rows.end - rows.begin));
        }
    }
    std::vector<std::vector<block_scores>> scores(static_cast<size_t>(n_tiles));
    for (const bool fast_band : {true, false}) {
        // Of d = 128 the 64 fastest and the 96 slowest dimensions.
        const int64_t band_size = fast_band ? s.d * 64 / 128 : s.d * 96 / 128;
        const auto in_band = [&](int64_t i) {
            int64_t faster = i;  // dimensions that turn faster, or belong to a pair before it
            if (rotary.pairs == rotary_pairs::halves && i < rotary.n_dims) {
                const int64_t pair = i % (rotary.n_dims / 2);
                faster = 2 * pair + (i >= rotary.n_dims / 2 ? 1 : 0);
            }
            return fast_band ? faster < band_size : faster >= s.d - band_size;
        };
        const auto rms = [&](const std::vector<std::vector<double>> & means, bool of_band) {
            double sum = 0;
            int64_t n = 0;
            for (const std::vector<double> & mean : means) {
                for (int64_t i = 0; i < s.d; ++i) {
                    if (!of_band || in_band(i)) {
                        sum += mean[static_cast<size_t>(i)] * mean[static_cast<size_t>(i)];
                        ++n;
                    }
                }
            }
            return std::sqrt(sum / static_cast<double>(n));
        };
        const double share = static_cast<double>(band_size) / static_cast<double>(s.d);
        const double temperature =
            std::sqrt(share) * (rms(queries, true) / rms(queries, false)) * (rms(keys, true) / rms(keys, false));
        const double scale = reference ? 1 / std::sqrt(static_cast<double>(band_size))
                                       : layer.args.scale * std::sqrt(static_cast<double>(s.d)) /
                                             std::sqrt(static_cast<double>(band_size));
        for (int64_t tile = 0; tile < n_tiles; ++tile) {
            const int64_t n_seen = (ranks_of_tile(s, tile).end - 1) / 128 + 1;
            std::vector<logit> row;
            for (int64_t block = 0; block < n_seen; ++block) {
                double dot = 0;
                double magnitude = 0;
                for (int64_t i = 0; i < s.d; ++i) {
                    if (in_band(i)) {
                        const double product = queries[static_cast<size_t>(tile)][static_cast<size_t>(i)] *
                                               keys[static_cast<size_t>(block)][static_cast<size_t>(i)];
                        dot += product;
                        magnitude += std::abs(product);
                    }
                }
                // Sums of 128 numbers of either sign lose more than their own size: their mean magnitude is about 1.
                const double factor = scale / temperature;
                const double lost = wander(128, std::sqrt(static_cast<double>(s.d)) * 2);
                row.push_back({dot * factor, (wander(s.d, magnitude) + lost) * std::abs(factor)});
            }
            double sum = 0;
            for (const logit & each : row) {
                sum += std::exp(each.value - largest_of(row));
            }
            block_scores & found = scores[static_cast<size_t>(tile)].emplace_back();
            for (const logit & each : row) {
                const double mass = std::exp(each.value - largest_of(row)) / sum;
                found.push_back({mass, mass * 2 * weight_error(largest_error(row)) + 1e-30});
            }
        }
    }
    return scores;
}

namespace {

// For one block: others that surely come before it by falling score and rising index, and others that may.
struct others_before {
    double sure_mass = 0;
    double possible_mass = 0;
    double sure_tolerance = 0;
    double possible_tolerance = 0;
    int64_t sure = 0;
    int64_t possible = 0;
};

others_before before(const budget_question & question, size_t block, bool without_forced) {
    others_before found;
    const known_score & own = question.scores[block];
    for (size_t other = 0; other < question.scores.size(); ++other) {
        if (other == block || (without_forced && question.forced[other])) {
            continue;
        }
        const known_score & score = question.scores[other];
        const double apart = score.value - own.value;
        const double reach = score.tolerance + own.tolerance;
        if (apart >= -reach) {
            found.possible++;
            found.possible_mass += score.value;
            found.possible_tolerance += score.tolerance;
        }
        if (apart > reach) {
            found.sure++;
            found.sure_mass += score.value;
            found.sure_tolerance += score.tolerance;
        }
    }
    return found;
}

template <class Judge>
std::vector<verdict> judged(const budget_question & question, Judge judge) {
    std::vector<verdict> verdicts;
    for (size_t block = 0; block < question.forced.size(); ++block) {
        verdicts.push_back(question.forced[block] || block >= question.scores.size() ? verdict::kept : judge(block));
    }
    return verdicts;
}

// Kept while `amount` is below `limit`, both of which may be wrong by as much as said.
verdict below(double least, double most, double limit, double limit_error) {
    return most < limit - limit_error     ? verdict::kept
           : least >= limit + limit_error ? verdict::dropped
                                          : verdict::unsure;
}

}  // namespace

std::vector<verdict> by_share(const budget_question & question, double keep) {
    int64_t n_more = 0;
    while (static_cast<double>(n_more) < keep * static_cast<double>(question.forced.size()) - 1e-9) {
        ++n_more;
    }
    n_more -= std::count(question.forced.begin(), question.forced.end(), true);
    return judged(question, [&](size_t block) {
        const others_before found = before(question, block, true);
        return found.possible < n_more ? verdict::kept : found.sure >= n_more ? verdict::dropped : verdict::unsure;
    });
}

std::vector<verdict> by_alpha(const budget_question & question, double alpha) {
    known_score largest;
    for (const known_score & score : question.scores) {
        largest = score.value > largest.value ? score : largest;
    }
    return judged(question, [&](size_t block) {
        const known_score & score = question.scores[block];
        if (alpha == 0) {
            return verdict::kept;
        }
        const double over = score.value - alpha * largest.value;
        const double reach = score.tolerance + alpha * largest.tolerance + 4 * k_unit * alpha * largest.value;
        return over > reach ? verdict::kept : over < -reach ? verdict::dropped : verdict::unsure;
    });
}

std::vector<verdict> by_mass(const budget_question & question, double tau) {
    if (tau >= 1) {
        return std::vector<verdict>(question.forced.size(), verdict::kept);
    }
    double total = 0;
    double tolerance = 0;
    double forced = 0;
    for (size_t block = 0; block < question.scores.size(); ++block) {
        total += question.scores[block].value;
        tolerance += question.scores[block].tolerance;
        forced += question.forced[block] ? question.scores[block].value : 0;
    }
    return judged(question, [&](size_t block) {
        const others_before found = before(question, block, true);
        return below(forced + found.sure_mass, forced + found.possible_mass, tau * total, 2 * tolerance);
    });
}

std::vector<verdict> by_mass_before(const budget_question & question, double p) {
    if (p >= 1) {
        return std::vector<verdict>(question.forced.size(), verdict::kept);
    }
    return judged(question, [&](size_t block) {
        const others_before found = before(question, block, false);
        return below(found.sure_mass, found.possible_mass, p, found.possible_tolerance + 1e-7);
    });
}

}  // namespace tmx::test
