// Attention nodes and feed-forward blocks that a GPU proxy passes on to the wrapped backend: counted by reason.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "backend/segments.h"
#include "backend/statistics.h"
#include "trianglemix/status.h"

namespace tmx {

class passed_on_notes {
  public:
    // `device`: the proxy's name, for the log.
    passed_on_notes(std::string device, statistics & counters) : device_(std::move(device)), statistics_(counters) {}

    // `why`: what made it so, if the reason does not say it all; then the log names the first node for it.
    void note(const char * reason, const char * why = "") const;

    // The same of a feed-forward block.
    void note_feed_forward(const char * why) const;

    // What such a node computes, where that is known.
    void note_pairs(int32_t layer, const pair_count & pairs) const { statistics_.count_passed_on_pairs(layer, pairs); }

  private:
    std::string device_;
    statistics & statistics_;
};

// The reason's name where the executor failed.
const char * failure_name(const status & failed);

}  // namespace tmx
