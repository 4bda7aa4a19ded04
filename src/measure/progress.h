// measure/progress.h -- how far a run is, as it tells whoever shows it.
#pragma once

#include <functional>
#include <string>

namespace tmx {

struct run_progress {
    std::string stage;         // "gradient", "ablation", "set", ...; "" before the first: what is going to be done
    std::string item;          // what was measured just now, or is being measured
    double share = 0;          // of the stage, 0..1
    double seconds_left = -1;  // of the whole run; < 0: not known yet
    bool item_ended = false;
    // The stage's own reckoning. Weights are about proportional to time.
    double weight_done = 0;
    double weight_left = 0;
    double seconds = 0;  // that weight_done took
};
using progress_sink = std::function<void(const run_progress &)>;

}  // namespace tmx
