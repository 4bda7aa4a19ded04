#include "planner/mix_applied.h"

#include <fmt/core.h>

#include <algorithm>

#include "probe/section_sums.h"
#include "profile/plan_applied.h"

namespace tmx {
namespace {

struct layer_seen {
    int64_t n_dynamic = 0;  // attention nodes in which blocks were selected
    double skipped = 0;     // pairs
    double all = 0;
};

// [n_layer]
std::vector<layer_seen> layers_seen(const backend_statistics & s, size_t n_layer) {
    std::vector<layer_seen> seen(n_layer);
    for (const auto & layer : s.raw.at("layers")) {
        const auto number = layer.at("layer").get<int64_t>();
        if (number < 0 || number >= static_cast<int64_t>(n_layer)) {
            continue;
        }
        const auto & pairs = layer.at("pairs");
        const double skipped = pairs.at("skipped");
        seen[static_cast<size_t>(number)] = {layer.at("nodes").value("dynamic", int64_t{0}), skipped,
                                             pairs.at("kept").get<double>() + skipped};
    }
    return seen;
}

int64_t n_middle_pairs(const triangle_shape & shape, int64_t n_tokens) {
    return section_pairs(shape, n_tokens)[index_of(section::middle)];
}

int64_t n_triangle_heads(const layer_plan & layer, int64_t n_head) {
    return layer.kind == layer_kind::triangle ? n_head - std::count_if(layer.dense_head.begin(), layer.dense_head.end(),
                                                                       [](uint8_t d) { return d != 0; })
                                              : 0;
}

std::string what_takes(const layer_entry & taken, std::span<const menu_entry> menu) {
    const auto some = std::find_if(taken.of_head.begin(), taken.of_head.end(), [](int32_t e) { return e != k_dense; });
    const int32_t entry = some == taken.of_head.end() ? taken.entry : *some;
    return entry == k_dense ? "the plan to start from says" : menu[static_cast<size_t>(entry)].text;
}

}  // namespace

std::string why_not_applied(const backend_statistics & s, const layer_mix & mix, std::span<const menu_entry> menu,
                            const plan & planned, int64_t n_tokens, int64_t n_there) {
    const std::vector<layer_seen> seen = layers_seen(s, mix.size());
    const int64_t n_head = planned.model.n_head;
    for (size_t layer = 0; layer < mix.size(); ++layer) {
        const layer_plan & wanted = planned.layers[layer];
        if (wanted.kind == layer_kind::dense && !wanted.is_dynamic()) {
            continue;
        }
        // Whole numbers below 2^53: exact in the statistics, too. None of the first rows is one of the last.
        const int64_t n_causal = n_tokens * (n_tokens + 1) / 2 - n_there * (n_there + 1) / 2;
        const triangle_shape own = planned.shape_of_layer(layer);
        const triangle_shape before{own.n_sink, own.n_window, 0};
        const int64_t n_middle = n_middle_pairs(own, n_tokens) - n_middle_pairs(before, n_there);
        const layer_seen & found = seen[layer];
        const bool good = wanted.is_dynamic()
                              ? found.n_dynamic > 0 && found.all == static_cast<double>(n_head * n_causal)
                              : found.skipped == static_cast<double>(n_triangle_heads(wanted, n_head) * n_middle);
        if (!good) {
            return fmt::format(
                "the backend did not compute layer {} as {} on {} tokens, and measured so it would look "
                "harmless. {}",
                layer, what_takes(mix[layer], menu), n_tokens, reasons_and_remedies(s));
        }
    }
    if (planned.any_sparse() && (!s.fallbacks.empty() || !s.plan_refused.empty())) {
        return fmt::format(
            "the backend did not compute {} as planned on {} tokens, and measured so it would look "
            "harmless. {}",
            text_of(mix, menu), n_tokens, reasons_and_remedies(s));
    }
    return "";
}

}  // namespace tmx
