// profile/settings.h -- what a profile is to do.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "profile/selection.h"
#include "prompts/prompt_list.h"
#include "trianglemix/geometry.h"

namespace tmx {

// Where single layers or heads are made triangle: in the probe, which starts at the changed layer and computes in f32,
// or in llama.cpp, which runs any model, wholly each time.
enum class ablation_place : uint8_t { probe, llama_cpp };
constexpr const char * name_of(ablation_place place) {
    return place == ablation_place::probe ? "probe" : "llama.cpp";
}

struct profile_settings {
    std::string model_path;
    prompt_settings prompts;
    bool gradient = true;
    bool ablation = false;
    ablation_place ablate_in = ablation_place::llama_cpp;
    bool per_head = false;
    bool quick = false;  // defaults of a short run were taken; for people
    triangle_shape shape;
    std::string score = "contribution";  // of scores.h, or "ablation": what orders layers
    std::vector<int32_t> given;          // choose_by::given: these layers
    choose_by how = choose_by::count;
    double value = 0;          // count, threshold or budget
    bool curve = false;        // measure the growing set at every size (at most k_curve_points of them)
    bool yardsticks = false;   // measure stock llama.cpp's own variations on held-out prompts
    int64_t n_following = 16;  // tokens of the dense continuation that sets are compared over
    std::string precision = "exact";
    int32_t n_ctx = 0;  // most tokens of a prompt and what follows; 0: what the model was trained for
    int32_t n_threads = 1;
    int32_t n_ubatch = 2048;
    std::string device;              // of ggml, where the model is, for the probe to compute on, too; "": the CPU
    std::string device_description;  // for people
    std::string record_path;
    const std::atomic<bool> * stop = nullptr;
};

inline const char * name_of_method(const profile_settings & s) {
    return s.gradient ? (s.ablation ? "both" : "gradient") : s.ablation ? "ablation" : "none";
}

}  // namespace tmx
