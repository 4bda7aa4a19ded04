#include "profile/pair_share.h"

#include <algorithm>

#include "probe/section_sums.h"

namespace tmx {
namespace {

double sum_of(const std::array<int64_t, 3> & pairs) {
    return static_cast<double>(pairs[0] + pairs[1] + pairs[2]);
}

// Of the layer's heads, those that are triangle.
double triangle_share(const layer_plan & layer) {
    if (layer.kind != layer_kind::triangle || layer.dense_head.empty()) {
        return layer.kind == layer_kind::triangle ? 1 : 0;
    }
    const auto n_dense =
        std::count_if(layer.dense_head.begin(), layer.dense_head.end(), [](uint8_t dense) { return dense != 0; });
    return 1 - static_cast<double>(n_dense) / static_cast<double>(layer.dense_head.size());
}

}  // namespace

double pairs_kept(const plan & p, int64_t n_tokens, std::span<const int32_t> windows) {
    double all = 0;
    double kept = 0;
    for (size_t layer = 0; layer < p.layers.size(); ++layer) {
        if (layer < windows.size() && windows[layer] > 0) {
            const triangle_shape recent{0, windows[layer], 0};
            const auto seen = static_cast<double>(section_pairs(recent, n_tokens)[index_of(section::streaming)]);
            all += seen;
            kept += seen;
            continue;
        }
        const std::array<int64_t, 3> pairs = section_pairs(p.shape_of_layer(layer), n_tokens);
        all += sum_of(pairs);
        kept += sum_of(pairs) - triangle_share(p.layers[layer]) * static_cast<double>(pairs[index_of(section::middle)]);
    }
    return all > 0 ? kept / all : 1;
}

}  // namespace tmx
