// Scratch of a method's threads: one aligned piece each, taken before they start because they must not throw.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cpu_base/scratch_block.h"

namespace tmx::select_cpu {

// `carve` takes what a thread needs from a carver and returns it.
template <class carve_fn>
class thread_memory {
  public:
    thread_memory(int32_t n_threads, carve_fn carve) : carve_(carve) {
        cpu_base::carver sizes(nullptr);
        carve_(sizes);
        bytes_each_ = sizes.used();
        block_.reserve(bytes_each_ * static_cast<size_t>(n_threads));
    }

    auto of_thread(int thread) const {
        cpu_base::carver pieces(block_.get() + bytes_each_ * static_cast<size_t>(thread));
        return carve_(pieces);
    }

  private:
    carve_fn carve_;
    size_t bytes_each_ = 0;
    cpu_base::scratch_block block_;
};

// Threads that have something to do.
inline int32_t useful_threads(int32_t n_threads, int64_t n_items) {
    return static_cast<int32_t>(std::clamp<int64_t>(n_items, 1, n_threads));
}

}  // namespace tmx::select_cpu
