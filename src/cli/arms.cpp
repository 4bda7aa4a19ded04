#include "cli/arms.h"

#include <fmt/core.h>

#include <utility>

#include "cli/terminal.h"
#include "runtime/failure.h"
#include "runtime/statistics.h"

namespace tmx {

arm exact_arm(const prompt_setup & prompt) {
    arm a;
    a.name = "exact";
    a.context = prompt.context;
    return a;
}

arm planned_arm(const prompt_setup & prompt, const chosen_plan & chosen) {
    arm a = exact_arm(prompt);
    a.precision = std::string(name_of(chosen.value.arithmetic));
    if (chosen.sparse) {
        a.name = "TriangleMix";
        a.plan_json = write_plan(chosen.value);
        a.min_last = chosen.value.shape.n_last;
    } else if (chosen.value.arithmetic == precision::fast) {
        a.name = "exact, fast";
    }
    return a;
}

arm stock_arm(const prompt_setup & prompt, const stock_setting & setting) {
    arm a;
    a.name = "stock";
    a.ours = false;
    a.context = prompt.context;
    a.context.flash_attention = setting.flash_attention;
    a.context.n_ubatch = setting.n_ubatch;
    return a;
}

arm_devices devices_of_arms(const backend & b, const std::string & device) {
    if (device.empty()) {
        return {};
    }
    std::string names;
    const backend_statistics statistics = parse_statistics(b.statistics());
    for (const auto & gpu : statistics.raw.at("gpu").at("devices")) {
        const std::string name = gpu.at("name");
        if (name == device) {
            return {device, gpu.at("wraps")};
        }
        names += (names.empty() ? "" : ", ") + name;
    }
    throw failure(
        fmt::format("device {} is none of ours, so there is nothing to compare with stock llama.cpp on it; {}", device,
                    names.empty() ? "no GPU here has one" : "there are " + names));
}

arm_models models_of_arms(const backend & b, model ours, const model_options & options, int64_t n_ctx,
                          const std::atomic<bool> & stop) {
    arm_devices where = devices_of_arms(b, options.device);
    const backend::memory memory = backend::memory_of(where.ours);
    const bool keep_both = two_models_fit(ours.facts(), n_ctx, memory.n_free, memory.n_total);
    if (!keep_both && where.ours != where.stock) {
        fmt::print(stderr,
                   "note: {} has no room for the model twice, so it is loaded anew between stock's runs and ours\n",
                   where.stock);
    }
    return {std::move(ours), std::move(where),
            [options, &stop](const std::string & device, bool weights) {
                model_options there = options;
                there.device = device;
                return weights ? load_model(there, stop) : model(options.file(), {}, false);
            },
            keep_both};
}

}  // namespace tmx
