// profile/set_stage.h -- what making a set of units triangle does to the answers, measured in llama.cpp with our
// backend against the dense computation of the same prompts.
//
// Every measurement is a whole prefill: stock llama.cpp has no way to enter a model above its first layer, so layers
// below the lowest changed one are computed again. A prompt's dense answer is computed once and kept until forget().
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "measure/record_store.h"
#include "measure/stage_clock.h"
#include "profile/record_keys.h"
#include "profile/settings.h"
#include "profile/unit_set.h"
#include "prompts/prompt_pool.h"
#include "runtime/arm.h"

namespace tmx {

// One prompt computed with a set triangle, compared with its dense computation.
struct set_effect {
    std::string prompt;
    int64_t n_tokens = 0;
    fidelity distance;
    double target_dense = 0;  // log-probability of the target as the first token
    double target_set = 0;
    ablation_place place = ablation_place::llama_cpp;
    double seconds = 0;  // prefill in llama.cpp
    double dense_seconds = 0;
};

// REQUIRES everything it is given to outlive it; our backend loaded. ERRORS failure, interrupted; a set that the
// backend did not compute as planned is a failure, never a measurement.
class set_stage {
  public:
    set_stage(const profile_settings & settings, const record_keys & keys, backend & b, const model & m,
              const prompt_pool & prompts, record_store & records);

    // A prompt's dense answer: logits of its first token and behind each token of the continuation. The model itself
    // chose that.
    struct reference {
        logit_rows rows;
        std::vector<token_id> continuation;
        double seconds = 0;  // prefill
    };
    const reference & dense(size_t prompt);  // valid until forget()

    bool on_file(std::span<const unit> set, size_t prompt) const;
    set_effect measure(std::span<const unit> set, size_t prompt);

    // Changes that users accept without a thought, to see a set's KL beside: stock llama.cpp in our place, with and
    // without flash attention, and its 8-bit cache.
    std::vector<std::pair<std::string, set_effect>> measure_yardsticks(std::span<const size_t> prompts,
                                                                       const progress_sink & sink);
    void forget(size_t prompt);  // its dense answer

    // The shortest of three dense prefills in llama.cpp of the first n_tokens of the first prompt, or of all of it.
    double seconds_of_prefill(int64_t n_tokens);

    const model_shape & shape() const { return shape_; }

    // Names a measurement of a prompt in the records. way: the set, or what else was computed.
    std::string record_key(const std::string & way, size_t prompt) const;

    // Over prompts, in their order, with progress.
    std::vector<set_effect> measure_all(const std::string & stage, std::span<const unit> set,
                                        std::span<const size_t> prompts, const progress_sink & sink);

  private:
    const profile_settings & settings_;
    const record_keys & keys_;
    backend & backend_;
    const model & model_;
    const prompt_pool & prompts_;
    record_store & records_;
    model_shape shape_;
    std::map<size_t, reference> references_;

    // The arm's name names it in records. set: what the arm makes triangle.
    set_effect measure_arm(const arm & how, std::span<const unit> set, size_t prompt);
    double weight_of(size_t prompt) const;
    std::vector<arm> yardsticks(int64_t n_prompt) const;
    arm arm_of(std::span<const unit> set, int64_t n_prompt) const;
    logit_rows rows_of(const arm & how, std::span<const unit> set, const std::vector<token_id> & ids,
                       std::vector<token_id> & continuation, double & seconds);
};

// Of a prompt: how far `changed` is from `base`. target < 0: the token that `base` itself says first.
// ERRORS failure: a distance is no finite number.
set_effect effect_of_rows(const std::string & prompt, int64_t n_tokens, const logit_rows & base,
                          const logit_rows & changed, int32_t target);

// To and from the record file.
record_store::json set_json(const set_effect & e, const std::string & set);
set_effect effect_of_json(const record_store::json & record, const std::string & prompt);

double mean_first_kl(std::span<const set_effect> effects);  // REQUIRES at least one

// Over some prompts, in nats. REQUIRES at least one.
struct effect_summary {
    double first_kl = 0;        // mean
    double worst_first_kl = 0;  // largest
    double following_kl = 0;    // mean
    int64_t n_same_top = 0;     // positions with the same most likely token
    int64_t n_positions = 0;
};
effect_summary summarise(std::span<const set_effect> effects);

}  // namespace tmx
