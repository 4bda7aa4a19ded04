// planner/mix_stage.h -- what a mix does to the answer of a prompt, and what it takes, measured in llama.cpp with our
// backend against the dense computation of the same prompt; taken from the records where it is there.
//
// All prompts go through one context, whose plan is set for each measurement: making a context takes as long as a short
// prefill. A prompt's dense answer is computed once and kept as long as there is room. What prompts that ask about one
// context have in common, up to the last chunk, is computed once where they are measured one behind the other with one
// mix: the same bits as if each were computed alone.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "measure/record_store.h"
#include "planner/layer_costs.h"
#include "planner/layer_mix.h"
#include "planner/settings.h"
#include "profile/record_keys.h"
#include "profile/set_stage.h"
#include "prompts/prompt_pool.h"
#include "runtime/arm.h"
#include "runtime/failure.h"

namespace tmx {

struct mix_effect {
    set_effect effect;
    std::vector<layer_cost> layers;  // [n_layer]
};

// The backend did not compute a mix as planned, which is never a measurement. The text says which layer, and why.
class not_applied : public failure {
  public:
    using failure::failure;
};

// REQUIRES everything it is given to outlive it; our backend loaded. ERRORS failure, not_applied, interrupted.
class mix_stage {
  public:
    mix_stage(const planner_settings & settings, const record_keys & keys, backend & b, const model & m,
              const prompt_pool & prompts, record_store & records);

    // Where all layers are dense, and mixes start from no plan: the prompt's dense computation, with a KL of 0.
    mix_effect measure(const layer_mix & mix, size_t prompt);
    bool on_file(const layer_mix & mix, size_t prompt) const;
    bool holds_dense(size_t prompt) const { return references_.contains(prompt); }

    // Tokens of the second prompt that need not be computed behind the first.
    int64_t n_shared(size_t first, size_t second) const;

    // The shorter of two dense prefills of the first prompt.
    double seconds_of_prefill();

  private:
    struct reference {
        logit_rows rows;
        std::vector<token_id> continuation;
        mix_effect costs;  // its KL is 0
    };
    const planner_settings & settings_;
    const record_keys & keys_;
    backend & backend_;
    const model & model_;
    const prompt_pool & prompts_;
    record_store & records_;
    model_shape shape_;
    arm arm_;  // dense; plans are set on its session
    std::unique_ptr<session> session_;
    std::map<size_t, reference> references_;
    // What the session's cache holds, in part or whole.
    struct computed {
        std::string plan;
        size_t prompt = 0;
        mix_effect costs;  // of the whole prompt, or of one that asks about the same context
    };
    std::optional<computed> held_;

    std::string key_of(const layer_mix & mix, size_t prompt) const;
    session & open();
    plan plan_of(const layer_mix & mix) const;
    const reference & dense(size_t prompt);
    reference compute_dense(size_t prompt);
    mix_effect compute(const layer_mix & mix, size_t prompt);
    // planned: of the mix.
    logit_rows compute_rows(const layer_mix & mix, const plan & planned, size_t prompt,
                            std::vector<token_id> & continuation, mix_effect & costs);
};

}  // namespace tmx
