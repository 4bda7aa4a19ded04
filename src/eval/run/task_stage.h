// eval/run/task_stage.h -- examples of one task and length, answered by all arms in turn.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "eval/run/answer_group.h"
#include "eval/run/arm_sessions.h"
#include "measure/record_store.h"
#include "measure/stage_clock.h"

namespace tmx {

// The model's own tokens.
class model_tokenizer : public eval_tokenizer {
  public:
    explicit model_tokenizer(const model & m) : model_(m) {}
    int64_t count_prompt(const eval_example & e) const override;
    std::vector<token_id> tokenise(std::string_view plain) const override { return model_.tokenise(plain); }
    std::string text(const std::vector<token_id> & tokens) const override { return model_.text(tokens); }

  private:
    const model & model_;
};

// Examples that are answered together: `first` and those behind it, as many as settings.n_together. Always cut at the
// same numbers, so that a run that goes on computes what one that was never stopped does.
struct example_group {
    const eval_task * task = nullptr;
    int64_t length = 0;
    int64_t first = 0;
    int64_t end = 0;
};

// The group's examples. ERRORS failure; interrupted.
std::vector<asked> make_group(const model & m, const eval_settings & settings, const example_group & group);

// The records' key of one example and arm; records of other keys are never taken for this.
std::string answer_key(const eval_settings & settings, const eval_arm & a, const example_group & group, int64_t index);

// Whether an example of the group has no record in this arm.
bool is_missing(const eval_settings & settings, const record_store & records, const eval_arm & a,
                const example_group & group);

double group_weight(const example_group & group);  // of one arm, for stage_clock

// Answers the group in all arms in which it is missing. made: of make_group.
// ERRORS failure; interrupted: what was answered is on file.
void measure_group(arm_sessions & sessions, const eval_settings & settings, record_store & records, stage_clock & clock,
                   const example_group & group, const std::vector<asked> & made);

}  // namespace tmx
