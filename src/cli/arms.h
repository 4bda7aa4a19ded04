// cli/arms.h -- the ways of computing a prompt that `run` and `bench` compare, and the models that they compute with.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/options.h"
#include "runtime/arm_models.h"

namespace tmx {

struct stock_setting {
    bool flash_attention = true;
    int32_t n_ubatch = 512;
    bool operator==(const stock_setting &) const = default;
};

struct prompt_setup {
    std::vector<token_id> ids;
    context_options context;  // of our arms
};

arm exact_arm(const prompt_setup & prompt);
arm planned_arm(const prompt_setup & prompt, const chosen_plan & chosen);  // exact if `chosen` is not sparse
arm stock_arm(const prompt_setup & prompt, const stock_setting & setting);

// Where arms compute under --device. ERRORS failure: the device is none of ours.
arm_devices devices_of_arms(const backend & b, const std::string & device);

// The loaded model, and how to get it onto stock's device where that is another one. n_ctx: tokens of the longest
// context that any arm will have.
arm_models models_of_arms(const backend & b, model ours, const model_options & options, int64_t n_ctx,
                          const std::atomic<bool> & stop);

}  // namespace tmx
