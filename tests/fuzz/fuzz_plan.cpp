// Any bytes as a plan file: never a crash, an error that can be shown, and what is read survives writing and reading.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "property.h"
#include "trianglemix/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, size_t size) {
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const tmx::parsed<tmx::plan> read = tmx::parse_plan(text);
    if (!read.ok()) {
        TMX_PROPERTY(is_showable(read.error));
        TMX_PROPERTY(read.value == tmx::plan{});
        return 0;
    }
    const tmx::plan & p = read.value;
    TMX_PROPERTY(p.layers.size() == static_cast<size_t>(p.model.n_layer));
    TMX_PROPERTY(p.shape.n_sink >= 0 && p.shape.n_window >= 1 && p.shape.n_last >= 0);
    for (const tmx::layer_plan & layer : p.layers) {
        TMX_PROPERTY(layer.dense_head.empty() || layer.dense_head.size() == static_cast<size_t>(p.model.n_head));
        TMX_PROPERTY(layer.dense_head.empty() || layer.kind == tmx::layer_kind::triangle);
        TMX_PROPERTY(layer.dynamic < static_cast<int32_t>(p.dynamic.size()));
        TMX_PROPERTY(layer.head_dynamic.empty() || layer.head_dynamic.size() == static_cast<size_t>(p.model.n_head));
        TMX_PROPERTY(layer.head_dynamic.empty() || layer.dynamic < 0);
        TMX_PROPERTY(!layer.own.any() || layer.kind == tmx::layer_kind::triangle);
    }
    TMX_PROPERTY(tmx::plan_mismatch(p, p.model).empty());

    const std::string written = tmx::write_plan(p);
    const tmx::parsed<tmx::plan> again = tmx::parse_plan(written);
    TMX_PROPERTY(again.ok());
    TMX_PROPERTY(again.value == p);
    TMX_PROPERTY(tmx::write_plan(again.value) == written);
    return 0;
}
