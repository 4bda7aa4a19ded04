#include <algorithm>

#include "plan/preset_texts.h"
#include "trianglemix/plan.h"

namespace tmx {

const std::vector<plan_preset> & plan_presets() {
    return preset_texts();
}

const plan_preset * find_preset(std::string_view name) {
    const std::vector<plan_preset> & presets = plan_presets();
    const auto found =
        std::find_if(presets.begin(), presets.end(), [&](const plan_preset & preset) { return preset.name == name; });
    return found == presets.end() ? nullptr : &*found;
}

std::vector<const plan_preset *> presets_for(const model_shape & running) {
    std::vector<const plan_preset *> fitting;
    for (const plan_preset & preset : plan_presets()) {
        const parsed<plan> read = parse_plan(preset.json_text);
        if (read.ok() && plan_mismatch(read.value, running).empty()) {
            fitting.push_back(&preset);
        }
    }
    return fitting;
}

}  // namespace tmx
