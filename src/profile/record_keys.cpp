#include "profile/record_keys.h"

#include <fmt/core.h>

#include "runtime/statistics.h"

namespace tmx {
namespace {

// Raised when a key of the same text would name other values.
constexpr int k_version = 2;

}  // namespace

std::string arithmetic_of(const backend & b) {
    return "ggml " + ggml_version_text() + ", " + parse_statistics(b.statistics()).kernel;
}

record_keys::record_keys(const profile_settings & settings, const std::string & model_sha256,
                         const std::string & arithmetic) {
    const triangle_shape & shape = settings.shape;
    probe_ = fmt::format("{}|{}|{}|{} threads|{},{},{}", model_sha256.substr(0, 16),
                         settings.device.empty() ? "CPU" : settings.device_description, arithmetic, settings.n_threads,
                         shape.n_sink, shape.n_window, shape.n_last);
    llama_ = fmt::format("{}|ubatch {}|{}|{}", probe_, settings.n_ubatch, settings.precision, settings.n_following);
}

std::string record_keys::gradient(const probe_prompt & prompt) const {
    return fmt::format("gradient/{}|{}|{}", k_version, prompt.key, probe_);
}

std::string record_keys::effect(const probe_prompt & prompt, const std::string & way) const {
    return fmt::format("set/{}|{}|{}|{}", k_version, prompt.key, way, llama_);
}

}  // namespace tmx
