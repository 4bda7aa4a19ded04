// The first byte chooses the model's number of layers, the rest is the text of a set.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "property.h"
#include "trianglemix/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, size_t size) {
    if (size == 0) {
        return 0;
    }
    constexpr int32_t counts[] = {-1, 0, 1, 10, 32, 1024, 1025, INT32_MAX};
    const int32_t n_layer = counts[data[0] % 8];
    const std::string_view text(reinterpret_cast<const char *>(data + 1), size - 1);
    const tmx::parsed<std::vector<int32_t>> set = tmx::parse_layer_set(text, n_layer);
    if (!set.ok()) {
        TMX_PROPERTY(is_showable(set.error));
        TMX_PROPERTY(set.value.empty());
        return 0;
    }
    const int32_t end = n_layer < 0 ? 1024 : n_layer;
    for (size_t i = 0; i < set.value.size(); ++i) {
        TMX_PROPERTY(set.value[i] >= 0 && set.value[i] < end);
        TMX_PROPERTY(i == 0 || set.value[i] > set.value[i - 1]);
    }
    const tmx::parsed<std::vector<int32_t>> again = tmx::parse_layer_set(tmx::format_layer_set(set.value), n_layer);
    TMX_PROPERTY(again.ok() && again.value == set.value);
    return 0;
}
