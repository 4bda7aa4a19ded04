// The mean key of every block, of all key heads: each key is read and decoded once.
#pragma once

#include <cstdint>

#include "cpu_base/scratch_block.h"
#include "select/cpu/kernel.h"

namespace tmx::select_cpu {

class block_means {
  public:
    // Blocks [0, n_blocks), as far as the segment's keys go; the sum of a block is divided by its keys, or by 128 if
    // `as_if_whole`. Throws std::bad_alloc.
    block_means(const kernel & steps, const layer_rows & rows, int64_t n_blocks, bool as_if_whole, int32_t n_threads);

    int64_t n_blocks() const { return n_blocks_; }
    // [n_blocks, d_qk]
    const float * means(int64_t key_head) const { return means_ + key_head * n_blocks_ * dim_; }
    mean_panels panels(int64_t key_head) const {
        return {panels_ + key_head * padded_columns(n_blocks_) * dim_, n_blocks_};
    }

  private:
    int64_t n_blocks_;
    int64_t dim_;
    cpu_base::scratch_block memory_;
    float * means_ = nullptr;
    float * panels_ = nullptr;
};

}  // namespace tmx::select_cpu
