#include "glue/control.h"

#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "backend/host_context.h"
#include "backend/settings.h"
#include "backend/statistics.h"
#include "backend/statistics_json.h"
#include "glue/accel_device.h"
#include "glue/backend_common.h"
#include "glue/proxy/cpu_proxy.h"
#include "glue/proxy/proxy_device.h"
#include "glue/running_ggml.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

// Texts that C callers get; each lives until its thread's next call of the same function. Null instead of "".
template <class Make>
const char * kept(std::string & store, const Make & make, const char * without_memory = "out of memory") {
    try {
        store = make();
    } catch (const std::exception &) {
        return without_memory;
    }
    return store.empty() ? nullptr : store.c_str();
}

// A change of the process's settings reaches no context that exists: said once, since it is easily taken to.
void note_running_contexts() {
    static std::atomic_flag noted;
    const size_t n_running = n_contexts();
    if (n_running > 0 && !noted.test_and_set()) {
        GGML_LOG_WARN(
            "TriangleMix: settings of the process are changed: contexts made from now on start with them, the %zu that "
            "exist keep their own (trianglemix_context_begin in backend_control.h is the way to change those)\n",
            n_running);
    }
}

// What a function of one context answers; `use` returns "" or what was wrong.
template <class Use>
std::string with_context(int64_t id, const Use & use) {
    const std::shared_ptr<host_context> found = find_context(id);
    return found != nullptr ? use(*found) : "there is no context " + std::to_string(id) + ", or no more";
}

const char * set_plan(const char * json) noexcept {
    thread_local std::string text;
    note_running_contexts();
    return kept(text, [&] { return process_settings().set_plan(json); });
}

const char * set_precision(const char * name) noexcept {
    thread_local std::string text;
    note_running_contexts();
    return kept(text, [&] { return process_settings().set_precision(name); });
}

void set_prompt_length(int64_t n_tokens) noexcept {
    note_running_contexts();
    process_settings().set_prompt_length(n_tokens);
}

void set_enabled(bool enabled) noexcept {
    process_settings().set_enabled(enabled);
}

const char * read_statistics() noexcept {
    thread_local std::string text;
    return kept(
        text, [] { return statistics_json(process_statistics().read(), process_settings(), running_ggml()); }, "{}");
}

void reset_statistics() noexcept {
    process_statistics().reset();
}

int64_t context_begin() noexcept {
    try {
        return begin_context();
    } catch (const std::exception &) {
        return 0;
    }
}

const char * context_end(int64_t context) noexcept {
    thread_local std::string text;
    return kept(text, [&] { return end_context(context); });
}

const char * context_set_plan(int64_t context, const char * json) noexcept {
    thread_local std::string text;
    return kept(text,
                [&] { return with_context(context, [&](host_context & c) { return c.current.set_plan(json); }); });
}

const char * context_set_precision(int64_t context, const char * name) noexcept {
    thread_local std::string text;
    return kept(text,
                [&] { return with_context(context, [&](host_context & c) { return c.current.set_precision(name); }); });
}

const char * context_set_prompt_length(int64_t context, int64_t n_tokens) noexcept {
    thread_local std::string text;
    return kept(text, [&] {
        return with_context(context, [&](host_context & c) {
            c.current.set_prompt_length(n_tokens);
            return std::string();
        });
    });
}

const char * context_statistics(int64_t context) noexcept {
    thread_local std::string text;
    const auto read = [&] {
        const std::shared_ptr<host_context> found = find_context(context);
        return found != nullptr ? statistics_json(found->counters.read(), found->current, running_ggml())
                                : std::string();
    };
    return kept(text, read, "{}");
}

const char * context_reset_statistics(int64_t context) noexcept {
    thread_local std::string text;
    return kept(text, [&] {
        return with_context(context, [](host_context & c) {
            c.counters.reset();
            return std::string();
        });
    });
}

// llama.cpp calls it for every backend whose registry is ours.
void set_n_threads(ggml_backend_t backend, int n_threads) noexcept {
    if (is_proxy(backend)) {
        proxy_set_n_threads(backend, n_threads);
    } else if (is_cpu_proxy(backend)) {
        cpu_proxy_set_n_threads(backend, n_threads);
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
constexpr tmx_context_begin_t k_context_begin = c_callback(context_begin);
constexpr tmx_context_end_t k_context_end = c_callback(context_end);
constexpr tmx_context_set_plan_t k_context_set_plan = c_callback(context_set_plan);
constexpr tmx_context_set_prompt_length_t k_context_set_prompt_length = c_callback(context_set_prompt_length);
constexpr tmx_context_set_precision_t k_context_set_precision = c_callback(context_set_precision);
constexpr tmx_context_statistics_t k_context_statistics = c_callback(context_statistics);
constexpr tmx_context_reset_statistics_t k_context_reset_statistics = c_callback(context_reset_statistics);
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
        {TMX_PROC_CONTEXT_BEGIN, address(k_context_begin)},
        {TMX_PROC_CONTEXT_END, address(k_context_end)},
        {TMX_PROC_CONTEXT_SET_PLAN, address(k_context_set_plan)},
        {TMX_PROC_CONTEXT_SET_PROMPT_LENGTH, address(k_context_set_prompt_length)},
        {TMX_PROC_CONTEXT_SET_PRECISION, address(k_context_set_precision)},
        {TMX_PROC_CONTEXT_STATISTICS, address(k_context_statistics)},
        {TMX_PROC_CONTEXT_RESET_STATISTICS, address(k_context_reset_statistics)},
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
