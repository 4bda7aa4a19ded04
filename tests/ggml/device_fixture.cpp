#include "device_fixture.h"

#include <utility>

#include "backend/host_context.h"
#include "backend/statistics_json.h"
#include "ggml-backend.h"
#include "glue/running_ggml.h"
#include "steps.h"

namespace tmx::test {

plan triangle_plan(const std::vector<int> & layers, tail_policy tail) {
    plan p;
    p.name = "test";
    p.shape = k_shape;
    p.tail = tail;
    for (const int layer : layers) {
        p.layers.resize(static_cast<size_t>(layer) + 1);
        p.layers.back().kind = layer_kind::triangle;
    }
    return p;
}

backend_config with_plan(plan p, bool strict) {
    backend_config config;
    config.chosen = std::move(p);
    config.strict = strict;
    return config;
}

void device_fixture::SetUpTestSuite() {
    ggml_backend_load_all_from_path(TMX_LLAMA_BIN_FOLDER);
}

void device_fixture::SetUp() {
    process_statistics().reset();
    process_settings().set_enabled(true);
    process_settings().set_prompt_length(-1);
    process_settings().apply({});
}

void device_fixture::apply(const backend_config & config) {
    process_settings().apply(config);
    for (const int64_t id : mini_model::living_contexts()) {
        if (const std::shared_ptr<host_context> context = find_context(id)) {
            context->current.apply(config);
        }
    }
}

nlohmann::json device_fixture::stats() {
    return nlohmann::json::parse(statistics_json(process_statistics().read(), process_settings(), running_ggml()));
}

nlohmann::json device_fixture::stats(const mini_model & model) {
    const std::shared_ptr<host_context> context = find_context(model.context());
    return nlohmann::json::parse(statistics_json(context->counters.read(), context->current, running_ggml()));
}

settings & device_fixture::settings_of(const mini_model & model) {
    return find_context(model.context())->current;  // which the model's backend owns
}

}  // namespace tmx::test
