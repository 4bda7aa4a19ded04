// Where one evaluation ends and the next begins. llama.cpp computes a ubatch layer by layer and says it nowhere; it
// reuses graphs, so neither tensor addresses nor shapes tell one ubatch from the next.
#pragma once

#include <cstdint>

namespace tmx {

class evaluation {
  public:
    // Attention of layers [first, last] comes next; -1: of no known layer. True: it goes on with the same evaluation,
    // since layers rise. A layer that does not rise begins the next one (or shares an earlier layer's cache, which then
    // pays for one more classification), and a layer that is not known stands alone.
    // `may_go_on`: false if the caller knows better.
    bool advance(int32_t first, int32_t last, bool may_go_on = true) {
        const bool goes_on = may_go_on && last_layer_ >= 0 && first > last_layer_;
        last_layer_ = last;
        return goes_on;
    }

    // Whatever comes next begins a new one.
    void end() { last_layer_ = -1; }

  private:
    int32_t last_layer_ = -1;
};

}  // namespace tmx
