// profile/run_estimate.h -- how long the rest of a run takes: the stages to come by their weight, at the speed that
// work of their kind was seen to have.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "measure/progress.h"

namespace tmx {

enum class work_kind : uint8_t {
    prefill,   // whole prefills in llama.cpp
    probe,     // forward passes of the f32 probe
    gradient,  // forward and reverse passes
};

class run_estimate {
  public:
    // Weights as stage_clock::weight_of.
    void expect(work_kind kind, double weight) { ahead_[index(kind)] += weight; }

    // One of the expected stages begins: its own progress counts from here on.
    void begin(work_kind kind, double expected_weight);

    // The running stage so far, or (before the first) a step that was timed for this.
    void learn(work_kind kind, double weight, double seconds);

    double expected() const;  // weight of all stages to come, in prefills

    // With so much of the running stage left. < 0: no speed is known.
    double seconds_left(work_kind running, double weight_left) const;

  private:
    struct speed {
        double weight = 0, seconds = 0;                  // of stages that ended
        double running_weight = 0, running_seconds = 0;  // of the one that runs
    };
    std::array<double, 3> ahead_{};
    std::array<speed, 3> seen_{};

    static size_t index(work_kind kind) { return static_cast<size_t>(kind); }
    double seconds_a_weight(work_kind kind) const;
};

// Progress of stages, each with what is left of the whole run.
class run_clock {
  public:
    // told: whom to tell; it must outlive this.
    explicit run_clock(const progress_sink & told) : told_(told) {}
    run_clock(const run_clock &) = delete;
    run_clock & operator=(const run_clock &) = delete;

    void expect(work_kind kind, double weight) { estimate_.expect(kind, weight); }
    double expected() const { return estimate_.expected(); }

    // Says what is going to be done, and how long it takes at the speed of one timed prefill.
    void announce(const std::string & what, double timed_weight, double seconds);

    // A stage begins, which tells sink().
    void begin(work_kind kind, double expected_weight);
    const progress_sink & sink() const { return sink_; }

  private:
    const progress_sink & told_;
    const progress_sink sink_ = [this](run_progress p) { show(std::move(p)); };
    run_estimate estimate_;
    work_kind running_ = work_kind::prefill;

    void show(run_progress p);
};

}  // namespace tmx
