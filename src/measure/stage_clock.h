// measure/stage_clock.h -- progress of one stage: items of known weight, some of them already on file.
#pragma once

#include <cstdint>
#include <string>

#include "measure/progress.h"

namespace tmx {

class stage_clock {
  public:
    // total_weight: of the items that must be measured, those on file left out.
    stage_clock(std::string stage, double total_weight, const progress_sink & sink);

    void begin(const std::string & item, double weight);
    void within(double share);              // of the running item
    void end(const std::string & outcome);  // of the running item
    void note(const std::string & text);    // between items: something the user should know

    double lap();  // seconds since the one before, at first since the clock was made: together all of the stage's time

    // Time of a prompt grows with its length, and attention with the square.
    static double weight_of(int64_t n_tokens);

  private:
    std::string stage_;
    std::string item_;
    double total_;
    const progress_sink & sink_;
    double start_;
    double lap_start_;
    double done_ = 0;
    double item_weight_ = 0;

    void show(double share_of_item, bool ended);
};

}  // namespace tmx
