// What selection keeps on a GPU, from when a layer is enqueued until the device has counted it: only then it goes into
// the statistics.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "backend/cuda/attention_executor.h"
#include "backend/selected_node.h"
#include "backend/statistics.h"

namespace tmx {

class pending_counts {
  public:
    // `executor` may be null: then nothing is ever expected.
    pending_counts(attention_executor * executor, statistics & counters) : executor_(executor), statistics_(counters) {}

    // The executor has enqueued a layer with selected segments. `call`: as its forward() says.
    void expect(uint64_t call, int32_t layer, const std::shared_ptr<const selected_node> & node);

    // Counts what the device has finished, and has it send the rest; waits for nothing.
    void collect();

    // Waits until all of it is counted. Only what comes behind the last layer is waited for, if that is done. Without
    // memory counts are lost.
    void finish() noexcept;

  private:
    struct expected {
        int32_t layer = -1;
        std::shared_ptr<const selected_node> node;
    };

    attention_executor * executor_;
    statistics & statistics_;
    std::map<uint64_t, expected> expected_;  // by call
};

}  // namespace tmx
