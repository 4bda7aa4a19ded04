// profile/ablation_stage.h -- each unit alone triangle, compared with dense on every prompt that chooses: taken from
// the records, or measured.
//
// In the probe, the dense pass over a prompt keeps every layer's input, and a unit's measurement starts at its layer.
// In llama.cpp each is a whole prefill (set_stage.h). Both compare over the same continuation, llama.cpp's dense one.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "probe/shared_probe.h"
#include "profile/set_stage.h"

namespace tmx {

struct ablation_result {
    std::vector<std::vector<set_effect>> effects;  // [unit][prompt]
    // [prompt], empty where llama.cpp ablates: KL(probe || llama.cpp) with everything dense in both. What the rounding
    // of llama.cpp's arithmetic on this file does, and no unit's effect.
    std::vector<set_effect> gaps;
};
record_store::json gap_json(const set_effect & gap);  // as in the record file

// REQUIRES everything it is given to outlive it. ERRORS failure, interrupted: what was measured is on file.
class ablation_stage {
  public:
    ablation_stage(const profile_settings & settings, const prompt_pool & prompts, record_store & records,
                   set_stage & sets, shared_probe & probe);

    ablation_result measure(std::span<const unit> units, const progress_sink & sink);

    // Of what is not on file, as stage_clock::weight_of.
    double weight(std::span<const unit> units);

  private:
    const profile_settings & settings_;
    const prompt_pool & prompts_;
    record_store & records_;
    set_stage & sets_;
    shared_probe & probe_;
    logit_rows dense_rows_;  // of the probe, for the prompt that is being measured

    bool in_probe() const { return settings_.ablate_in == ablation_place::probe; }
    bool on_file(const unit & u, size_t prompt);
    double weight_of(const unit & u, size_t prompt);
    double weight_of_dense(std::span<const unit> units, size_t prompt);
    probe_model & open_probe(stage_clock & clock, std::function<void(double share)> progress);
    void compute_dense(size_t prompt, stage_clock & clock);
    set_effect measure_one(const unit & u, size_t prompt, stage_clock & clock);
};

}  // namespace tmx
