#include "runtime/backend.h"

#include <ggml-backend.h>
#include <ggml.h>
#include <llama.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string_view>

#include "runtime/failure.h"
#include "runtime/program.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

constexpr size_t k_kept_log_lines = 40;

struct log_store {
    std::mutex mutex;
    std::deque<std::string> lines;
    bool verbose = false;
    ggml_log_level level = GGML_LOG_LEVEL_NONE;  // of the last message that was not a continuation
};

log_store & log_of_process() {
    static log_store store;
    return store;
}

void keep_log(ggml_log_level level, const char * text, void *) {
    log_store & store = log_of_process();
    const std::lock_guard lock(store.mutex);
    if (store.verbose) {
        std::fputs(text, stderr);
    }
    if (level != GGML_LOG_LEVEL_CONT) {
        store.level = level;
    }
    if (store.level != GGML_LOG_LEVEL_WARN && store.level != GGML_LOG_LEVEL_ERROR) {
        return;
    }
    std::string line = text;
    while (!line.empty() && line.back() == '\n') {
        line.pop_back();
    }
    if (!line.empty()) {
        store.lines.push_back(std::move(line));
        if (store.lines.size() > k_kept_log_lines) {
            store.lines.pop_front();
        }
    }
}

template <class Function>
Function proc(void * registry, const char * name) {
    auto * address = ggml_backend_reg_get_proc_address(static_cast<ggml_backend_reg_t>(registry), name);
    if (address == nullptr) {
        throw failure(std::string("the loaded TriangleMix backend has no function '") + name +
                      "': it is of another version than this program. Rebuild both.");
    }
    return reinterpret_cast<Function>(address);
}

std::string with_log(std::string message) {
    const std::string log = recent_log();
    if (!log.empty()) {
        message += "\nllama.cpp said:\n" + log;
    }
    return message;
}

}  // namespace

backend_paths default_backend_paths() {
    return {TMX_LLAMA_BIN_FOLDER, library_beside("libggml-trianglemix.so")};
}

backend::backend(const backend_paths & paths, bool verbose) {
    keep_log_messages(verbose);
    // A library named here would be loaded a second time beside ours.
    unsetenv("GGML_BACKEND_PATH");
    if (ggml_backend_reg_count() == 0) {
        ggml_backend_load_all_from_path(paths.llama_bin.c_str());
    }
    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
        throw failure(with_log("no CPU backend of llama.cpp in " + paths.llama_bin +
                               ". Build llama.cpp there again (scripts/setup.sh for the pinned one)."));
    }
    if (!paths.library.empty()) {
        load_ours(paths.library);
    }
    llama_backend_init();
}

void backend::load_ours(const std::string & path) {
    if (!std::filesystem::exists(path)) {
        throw failure("the TriangleMix backend library is missing: " + path +
                      ". Build it: cmake --build <build folder>.");
    }
    ggml_backend_load(path.c_str());
    const ggml_backend_reg_t registry = ggml_backend_reg_by_name(TMX_BACKEND_NAME);
    if (registry == nullptr) {
        const char * off = std::getenv("TRIANGLEMIX_DISABLE");
        const bool disabled = off != nullptr && *off != '\0' && std::string_view(off) != "0";
        throw failure(with_log("the TriangleMix backend did not register (" + path + ")" +
                               (disabled ? ": TRIANGLEMIX_DISABLE switches it off; unset it." : ".")));
    }
    if (ggml_backend_reg_dev_count(registry) == 0) {
        throw failure(
            with_log("the TriangleMix backend registered without a device, so it computes nothing: no kernel of this "
                     "build runs on this CPU."));
    }
    registry_ = registry;
}

bool backend::loaded() const {
    return registry_ != nullptr;
}

void backend::set_enabled(bool enabled) {
    proc<tmx_set_enabled_t>(registry_, TMX_PROC_SET_ENABLED)(enabled);
}

std::string backend::statistics() const {
    const char * text = proc<tmx_statistics_t>(registry_, TMX_PROC_STATISTICS)();
    return text != nullptr ? text : "{}";
}

void backend::reset_statistics() {
    proc<tmx_reset_statistics_t>(registry_, TMX_PROC_RESET_STATISTICS)();
}

int64_t backend::begin_context() {
    const int64_t context = proc<tmx_context_begin_t>(registry_, TMX_PROC_CONTEXT_BEGIN)();
    if (context == 0) {
        throw failure("out of memory");
    }
    return context;
}

void backend::end_context(int64_t context) {
    if (const char * error = proc<tmx_context_end_t>(registry_, TMX_PROC_CONTEXT_END)(context)) {
        throw failure(std::string("the backend takes no part in the context: ") + error);
    }
}

void backend::set_plan(int64_t context, const std::string & json) {
    const auto set = proc<tmx_context_set_plan_t>(registry_, TMX_PROC_CONTEXT_SET_PLAN);
    if (const char * error = set(context, json.c_str())) {
        throw failure(std::string("the backend refused the plan: ") + error);
    }
}

void backend::set_prompt_length(int64_t context, int64_t n_tokens) {
    const auto set = proc<tmx_context_set_prompt_length_t>(registry_, TMX_PROC_CONTEXT_SET_PROMPT_LENGTH);
    if (const char * error = set(context, n_tokens)) {
        throw failure(std::string("the backend refused the prompt's length: ") + error);
    }
}

void backend::set_precision(int64_t context, const std::string & name) {
    const auto set = proc<tmx_context_set_precision_t>(registry_, TMX_PROC_CONTEXT_SET_PRECISION);
    if (const char * error = set(context, name.c_str())) {
        throw failure("the backend refused precision '" + name + "': " + error);
    }
}

std::string backend::statistics(int64_t context) const {
    const char * text = proc<tmx_context_statistics_t>(registry_, TMX_PROC_CONTEXT_STATISTICS)(context);
    if (text == nullptr) {
        throw failure("the backend has no statistics of a context that is gone");
    }
    return text;
}

void backend::reset_statistics(int64_t context) {
    const auto reset = proc<tmx_context_reset_statistics_t>(registry_, TMX_PROC_CONTEXT_RESET_STATISTICS);
    if (const char * error = reset(context)) {
        throw failure(std::string("the backend's statistics cannot be reset: ") + error);
    }
}

std::vector<backend::device> backend::devices() {
    std::vector<device> result;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        const ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        result.push_back({ggml_backend_dev_name(dev), ggml_backend_dev_description(dev),
                          ggml_backend_reg_name(ggml_backend_dev_backend_reg(dev))});
    }
    return result;
}

backend::memory backend::memory_of(const std::string & device) {
    const ggml_backend_dev_t dev = device.empty() ? ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)
                                                  : ggml_backend_dev_by_name(device.c_str());
    memory bytes{0, 0};
    if (dev != nullptr) {
        ggml_backend_dev_memory(dev, &bytes.n_free, &bytes.n_total);
    }
    return bytes;
}

void keep_log_messages(bool verbose) {
    log_of_process().verbose = verbose;
    llama_log_set(keep_log, nullptr);
}

std::string recent_log() {
    log_store & store = log_of_process();
    const std::lock_guard lock(store.mutex);
    std::string text;
    for (const std::string & line : store.lines) {
        text += (text.empty() ? "  " : "\n  ") + line;
    }
    store.lines.clear();
    return text;
}

std::string ggml_version_text() {
    return std::string(ggml_version()) + " (" + ggml_commit() + ")";
}

std::string llama_version_text() {
    return llama_version();
}

}  // namespace tmx
