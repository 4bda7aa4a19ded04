// The device memory that one proxy backend's kernels hold for themselves: bounded, counted, and given back after use.
#pragma once

#include <cstdint>

#include "backend/cuda/attention_executor.h"
#include "backend/statistics.h"
#include "glue/proxy/proxy_limits.h"

namespace tmx {

class scratch_keeper {
  public:
    // `executor` may be null: then none is held. `held`: of all contexts of the device.
    scratch_keeper(attention_executor * executor, const proxy_limits & limits, scratch_meter & held,
                   statistics & counters)
        : executor_(executor), limits_(limits), held_(held), statistics_(counters) {}

    // Tells the executor how much it may take from now on: what other contexts hold counts, too.
    void limit();

    // Counts what the executor holds now.
    void note();

    // An evaluation begins; and it uses the memory.
    void begin_evaluation() { ++n_idle_; }
    void use() { n_idle_ = 0; }

    // Whether it has not been used for long enough to be given back.
    bool idle() const { return noted_ > 0 && n_idle_ >= limits_.idle_evaluations; }

    // Gives back what no work holds. While a device still computes our last call this does nothing.
    void release();

    // The executor is gone.
    void end();

  private:
    void change_to(int64_t bytes);

    attention_executor * executor_;
    proxy_limits limits_;
    scratch_meter & held_;
    statistics & statistics_;
    int64_t noted_ = 0;  // this context's part of what is held
    int n_idle_ = 0;     // evaluations since it was used
};

}  // namespace tmx
