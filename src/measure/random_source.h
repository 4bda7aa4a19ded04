// measure/random_source.h -- splitmix64: small and seedable. It is the same on every platform, which the standard
// distributions are not.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tmx {

class random_source {
  public:
    explicit random_source(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        state_ += 0x9e3779b97f4a7c15ULL;
        uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    uint64_t below(uint64_t bound) { return next() % bound; }  // REQUIRES bound >= 1
    double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

    template <class T, size_t n>
    const T & one_of(const T (&choices)[n]) {
        return choices[below(n)];
    }

  private:
    uint64_t state_;
};

}  // namespace tmx
