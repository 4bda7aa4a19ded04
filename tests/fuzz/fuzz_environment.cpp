// Any bytes as the environment, entries separated by zero bytes as in /proc/self/environ: never a crash, problems that
// can be shown, and settings that hold what their comments promise.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend_config.h"
#include "property.h"

namespace {

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> entries(1);
    for (const char c : text) {
        if (c == '\0') {
            entries.emplace_back();
        } else {
            entries.back() += c;
        }
    }
    return entries;
}

// Presets as ever; other references are not opened, so that no input reads a file of this machine.
tmx::parsed<tmx::plan> load_presets_only(const std::string & reference) noexcept {
    if (reference.starts_with("preset:")) {
        return tmx::load_plan(reference);
    }
    return {{}, "no such file"};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, size_t size) {
    const std::vector<std::string> environment = split({reinterpret_cast<const char *>(data), size});
    const tmx::config_result result = tmx::read_config(environment, load_presets_only);
    bool any_bad = false;
    for (const tmx::environment_problem & problem : result.problems) {
        TMX_PROPERTY(is_showable(problem.text));
        TMX_PROPERTY(problem.text.find("TRIANGLEMIX_") != std::string::npos);
        any_bad = any_bad || problem.bad_value;
    }
    TMX_PROPERTY(result.any_bad_value() == any_bad);

    const tmx::backend_config & config = result.config;
    TMX_PROPERTY(config.min_rows >= 1 && config.min_rows <= INT32_MAX);
    if (config.chosen) {
        const tmx::triangle_shape & shape = config.chosen->shape;
        TMX_PROPERTY(shape.n_sink >= 0 && shape.n_sink <= INT32_MAX);
        TMX_PROPERTY(shape.n_window >= 1 && shape.n_window <= INT32_MAX);
        TMX_PROPERTY(shape.n_last >= 0 && shape.n_last <= INT32_MAX);
        TMX_PROPERTY(config.chosen->layers.size() <= 1024);
    }

    // A later entry replaces an earlier one, so the same environment twice over means the same.
    std::vector<std::string> doubled = environment;
    doubled.insert(doubled.end(), environment.begin(), environment.end());
    const tmx::config_result again = tmx::read_config(doubled, load_presets_only);
    TMX_PROPERTY(again.config.chosen == config.chosen && again.config.arithmetic == config.arithmetic);
    TMX_PROPERTY(again.config.disabled == config.disabled && again.config.strict == config.strict);
    TMX_PROPERTY(again.config.kernel == config.kernel && again.config.stats == config.stats);
    TMX_PROPERTY(again.problems.size() == result.problems.size());
    return 0;
}
