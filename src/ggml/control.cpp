#include "ggml/control.h"

#include <string>
#include <string_view>

#include "ggml/accel_device.h"
#include "ggml/backend_common.h"
#include "ggml/proxy_device.h"
#include "ggml/settings.h"
#include "ggml/statistics.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

// Texts that C callers get; each lives until its thread's next call of the same function.

const char * kept(std::string & store, std::string text) {
    store = std::move(text);
    return store.empty() ? nullptr : store.c_str();
}

const char * set_plan(const char * json) noexcept {
    thread_local std::string text;
    try {
        return kept(text, process_settings().set_plan(json));
    } catch (...) {
        return "out of memory";
    }
}

const char * set_precision(const char * name) noexcept {
    thread_local std::string text;
    try {
        return kept(text, process_settings().set_precision(name));
    } catch (...) {
        return "out of memory";
    }
}

void set_prompt_length(int64_t n_tokens) noexcept {
    process_settings().set_prompt_length(n_tokens);
}

void set_enabled(bool enabled) noexcept {
    process_settings().set_enabled(enabled);
}

const char * read_statistics() noexcept {
    thread_local std::string text;
    try {
        return kept(text, process_statistics().json(process_settings()));
    } catch (...) {
        return "{}";
    }
}

void reset_statistics() noexcept {
    process_statistics().reset();
}

// llama.cpp calls it for every backend whose registry is ours.
void set_n_threads(ggml_backend_t backend, int n_threads) noexcept {
    if (is_proxy(backend)) {
        proxy_set_n_threads(backend, n_threads);
    } else {
        accel_set_n_threads(backend, n_threads);
    }
}

template <class Function>
void * address(Function * function) {
    return reinterpret_cast<void *>(function);
}

// Each assignment checks a function against the type that backend_control.h promises.
constexpr tmx_set_plan_t k_set_plan = c_callback(set_plan);
constexpr tmx_set_prompt_length_t k_set_prompt_length = c_callback(set_prompt_length);
constexpr tmx_set_enabled_t k_set_enabled = c_callback(set_enabled);
constexpr tmx_set_precision_t k_set_precision = c_callback(set_precision);
constexpr tmx_statistics_t k_statistics = c_callback(read_statistics);
constexpr tmx_reset_statistics_t k_reset_statistics = c_callback(reset_statistics);
constexpr ggml_backend_set_n_threads_t k_set_n_threads = c_callback(set_n_threads);

}  // namespace

void * control_address(const char * name) {
    const struct {
        std::string_view name;
        void * function;
    } addresses[] = {
        {TMX_PROC_SET_PLAN, address(k_set_plan)},
        {TMX_PROC_SET_PROMPT_LENGTH, address(k_set_prompt_length)},
        {TMX_PROC_SET_ENABLED, address(k_set_enabled)},
        {TMX_PROC_SET_PRECISION, address(k_set_precision)},
        {TMX_PROC_STATISTICS, address(k_statistics)},
        {TMX_PROC_RESET_STATISTICS, address(k_reset_statistics)},
        {"ggml_backend_set_n_threads", address(k_set_n_threads)},
    };
    for (const auto & each : addresses) {
        if (each.name == name) {
            return each.function;
        }
    }
    return nullptr;
}

}  // namespace tmx
