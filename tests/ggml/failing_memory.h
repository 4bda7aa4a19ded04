// A host without memory: while one of these lives, operator new throws in its thread. For a whole test program, so link
// failing_memory.cpp only where that is wanted.
#pragma once

#include <cstdint>

namespace tmx::test {

class failing_memory {
  public:
    // The first n_good allocations succeed.
    explicit failing_memory(int64_t n_good);
    ~failing_memory();
    failing_memory(const failing_memory &) = delete;
    failing_memory & operator=(const failing_memory &) = delete;

    bool failed() const;   // whether one was refused
    int64_t used() const;  // allocations that succeeded

  private:
    int64_t n_good_;
};

}  // namespace tmx::test
