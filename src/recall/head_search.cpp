#include "recall/head_search.h"

#include <algorithm>

#include "runtime/failure.h"

namespace tmx {
namespace {

recalled recall_of(layer_recall & layer, const head_pattern & pattern) {
    if (pattern.is == head_pattern::kind::a_shape) {
        return layer.of_band({pattern.first, pattern.second});
    }
    return layer.of_rule(rule_of_pattern(pattern));
}

void check_same(const capture_facts & a, const capture_facts & b, const std::string & path) {
    if (a.shape != b.shape || a.layers != b.layers) {
        throw failure(path + " is of another model or of other layers than the first capture");
    }
}

// Adds each head's score of each candidate, divided by the number of prompts.
void add_scores(layer_recall & layer, const std::vector<head_pattern> & candidates, double share,
                searched_layer & found) {
    for (size_t number = 0; number < candidates.size(); ++number) {
        const recalled kept = recall_of(layer, candidates[number]);
        for (size_t head = 0; head < found.best.size(); ++head) {
            const double * deciles = kept.by_head.data() + head * k_deciles;
            found.scores[head * candidates.size() + number] += share * *std::min_element(deciles, deciles + k_deciles);
        }
    }
}

}  // namespace

std::vector<searched_layer> search_heads(const std::vector<std::string> & captures,
                                         const std::vector<head_pattern> & candidates, const recall_options & options,
                                         const std::function<void(const std::string &)> & told) {
    recall_options alone = options;
    alone.per_query_head = true;  // heads that share keys may get other patterns
    std::vector<capture_reader> readers;
    for (const std::string & path : captures) {
        readers.emplace_back(path);
        check_same(readers.front().facts(), readers.back().facts(), path);
    }
    const capture_facts & first = readers.front().facts();
    const auto n_head = static_cast<size_t>(first.shape.n_head);
    std::vector<searched_layer> found;
    for (const int32_t layer : first.layers) {
        found.push_back({layer, std::vector<size_t>(n_head), std::vector<double>(n_head * candidates.size())});
    }
    for (size_t i = 0; i < captures.size(); ++i) {
        for (size_t number = 0; number < found.size(); ++number) {
            if (told) {
                told(captures[i] + ", layer " + std::to_string(found[number].layer));
            }
            layer_recall layer(readers[i].facts(), readers[i].read(number), alone);
            add_scores(layer, candidates, 1 / static_cast<double>(captures.size()), found[number]);
        }
    }
    for (searched_layer & layer : found) {
        for (size_t head = 0; head < layer.best.size(); ++head) {
            const auto begin = layer.scores.begin() + static_cast<std::ptrdiff_t>(head * candidates.size());
            const auto end = begin + static_cast<std::ptrdiff_t>(candidates.size());
            layer.best[head] = static_cast<size_t>(std::max_element(begin, end) - begin);
        }
    }
    return found;
}

}  // namespace tmx
