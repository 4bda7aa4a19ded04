#include "trianglemix/library.h"

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "commit/source_commit.h"
#include "identity/choose_plan.h"
#include "trianglemix/attention.h"

namespace tmx {
namespace {

class bad_request : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

std::string text_in(const nlohmann::json & request, const char * key) {
    const auto found = request.find(key);
    if (found == request.end() || found->is_null()) {
        return "";
    }
    if (!found->is_string()) {
        throw bad_request(std::string(key) + " must be a text");
    }
    return found->get<std::string>();
}

std::optional<int64_t> number_in(const nlohmann::json & request, const char * key, int64_t least) {
    const auto found = request.find(key);
    if (found == request.end() || found->is_null()) {
        return std::nullopt;
    }
    constexpr int64_t k_most = INT32_MAX;  // positions of llama.cpp are 32-bit
    const bool whole = found->is_number_integer() && (!found->is_number_unsigned() || found->get<uint64_t>() <= k_most);
    const int64_t value = whole ? found->get<int64_t>() : -1;
    if (value < least || value > k_most) {
        throw bad_request(std::string(key) + " is " + found->dump() + ", and must be a whole number from " +
                          std::to_string(least) + " to " + std::to_string(k_most));
    }
    return value;
}

plan_options options_in(const nlohmann::json & request) {
    plan_options options;
    options.layers = text_in(request, "layers");
    options.dynamic = text_in(request, "dynamic");
    options.sink = number_in(request, "sink", 0);
    options.window = number_in(request, "window", 1);
    options.last = number_in(request, "last", 0);
    options.tail = text_in(request, "tail");
    options.precision = text_in(request, "precision");
    options.text = text_in(request, "json");
    const std::string named = text_in(request, "plan");
    options.exact = named == "exact";
    options.reference = named == "auto" || named == "exact" ? "" : named;
    if (options.types_layers() && (options.exact || !options.reference.empty() || !options.text.empty())) {
        throw bad_request("layers and dynamic make a plan; name either them or a plan");
    }
    return options;
}

model_identity model_in(const nlohmann::json & request, const plan_options & options) {
    if (const std::string file = text_in(request, "model"); !file.empty()) {
        parsed<model_identity> read = read_identity(file);
        if (!read.ok()) {
            throw bad_request(read.error);
        }
        return read.value;
    }
    const parsed<model_identity> made_for = model_of_plan(options);
    if (!made_for.ok()) {
        throw bad_request(made_for.error);
    }
    return made_for.value;
}

nlohmann::json answer_to(const char * text) {
    const nlohmann::json request = nlohmann::json::parse(text != nullptr ? text : "", nullptr, false);
    if (!request.is_object()) {
        throw bad_request("the request is no JSON object");
    }
    const plan_options options = options_in(request);
    const parsed<chosen_plan> chosen = plan_for_model(options, model_in(request, options), false);
    if (!chosen.ok()) {
        throw bad_request(chosen.error);
    }
    const chosen_plan & plan = chosen.value;
    return {{"plan", plan.sparse ? write_plan(plan.value) : ""},
            {"layers", plan.sparse ? plan.layers() : "every layer exact"},
            {"source", plan.source},
            {"note", plan.note}};
}

// A file's path or name need not be UTF-8, as JSON must.
std::string text_of(const nlohmann::json & value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace
}  // namespace tmx

const char * trianglemix_library_info(void) {
    thread_local std::string text;
    try {
        nlohmann::json info = {{"version", TMX_VERSION}, {"commit", tmx::source_commit()}};
        info["cuda"] = TMX_WITH_CUDA;
        info["kernels"] = nlohmann::json::array();
        for (const tmx::cpu_kernel_info & kernel : tmx::cpu_kernels()) {
            info["kernels"].push_back(kernel.name);
        }
        info["presets"] = nlohmann::json::array();
        for (const tmx::plan_preset & preset : tmx::plan_presets()) {
            info["presets"].push_back(preset.name);
        }
        text = tmx::text_of(info);
    } catch (const std::exception &) {
        return nullptr;
    }
    return text.c_str();
}

const char * trianglemix_choose_plan(const char * request) {
    thread_local std::string text;
    try {
        try {
            text = tmx::text_of(tmx::answer_to(request));
        } catch (const tmx::bad_request & bad) {
            text = tmx::text_of({{"error", bad.what()}});
        }
    } catch (const std::exception &) {
        return nullptr;
    }
    return text.c_str();
}
