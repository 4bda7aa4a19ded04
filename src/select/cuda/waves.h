// What methods store between their kernels grows with heads x tiles x blocks. Waves bound it: stretches of heads and
// tiles that go through all kernels of a method before the next ones use the same memory.
#pragma once

#include <cstdint>

#include "trianglemix/geometry.h"

namespace tmx::cuda {

// One stretch of heads (whichever a method counts in) and of a segment's tiles.
struct wave {
    int64_t head_begin, n_heads;
    int64_t tile_begin, n_tiles;
};

// The size of all waves but the last ones. `bytes`: of one tile of one head.
struct wave_size {
    int64_t n_heads, n_tiles;

    static constexpr wave_size of(int64_t n_heads, int64_t n_tiles, int64_t bytes) {
        constexpr int64_t k_most_heads = 4096;  // that a grid takes on any axis
        constexpr int64_t k_wave_bytes = int64_t{448} << 20;
        const int64_t n = larger(k_wave_bytes / bytes, 1);  // tiles of a wave
        return n >= n_tiles ? wave_size{even(n_heads, smaller(n / n_tiles, k_most_heads)), n_tiles}
                            : wave_size{1, even(n_tiles, n)};
    }
    // As large as waves of up to `most` are if all have about the same size.
    static constexpr int64_t even(int64_t n, int64_t most) {
        const int64_t n_waves = (n + most - 1) / most;
        return (n + n_waves - 1) / n_waves;
    }

    constexpr int64_t n_rows() const { return n_heads * n_tiles; }
};

// Calls run(wave) for each stretch of n_heads and n_tiles, until one of them answers something but ok.
template <class function>
auto for_each_wave(const wave_size & size, int64_t n_heads, int64_t n_tiles, function run) {
    decltype(run(wave{})) result{};
    for (int64_t head = 0; head < n_heads; head += size.n_heads) {
        for (int64_t tile = 0; tile < n_tiles; tile += size.n_tiles) {
            result =
                run(wave{head, smaller(size.n_heads, n_heads - head), tile, smaller(size.n_tiles, n_tiles - tile)});
            if (!result.ok()) {
                return result;
            }
        }
    }
    return result;
}

// Parts of a method's workspace, each at a multiple of 256 bytes.
class workspace_layout {
  public:
    constexpr int64_t take(int64_t n) {
        const int64_t offset = bytes_;
        bytes_ += (n + 255) / 256 * 256;
        return offset;
    }
    constexpr int64_t bytes() const { return bytes_; }

  private:
    int64_t bytes_ = 0;
};

}  // namespace tmx::cuda
