#include "identity/windowed_layers.h"

#include <algorithm>

namespace tmx {

std::vector<int32_t> leave_windowed_layers(plan & p, std::span<const int32_t> windows) {
    std::vector<int32_t> left;
    for (size_t layer = 0; layer < std::min(p.layers.size(), windows.size()); ++layer) {
        if (windows[layer] > 0 && p.layers[layer] != layer_plan{}) {
            p.layers[layer] = {};
            left.push_back(static_cast<int32_t>(layer));
        }
    }
    return left;
}

std::string windows_note(std::span<const int32_t> windows, const std::vector<int32_t> & layers) {
    return "layers " + format_layer_set(layers) + " see the latest " +
           std::to_string(windows[static_cast<size_t>(layers.front())]) +
           " tokens only and have nothing to skip: they stay as they are";
}

}  // namespace tmx
