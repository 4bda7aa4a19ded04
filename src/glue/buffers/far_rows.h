// A mask in a device's memory. The device has said how its rows differ; the few that this does not tell are copied.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/runs/ubatch_runs.h"
#include "glue/abi.h"
#include "trianglemix/cuda_mask_rows.h"

namespace tmx {

// As cuda_compare_mask_rows(); false: it cannot be had.
using rows_comparer =
    std::function<bool(const device_mask & mask, std::span<const int32_t> cells, std::span<uint8_t> found)>;

class far_rows final : public far_mask {
  public:
    // The mask of that node. `cells`: of its rows, [n_stream, n_rows] counted over the whole cache, in host memory.
    // Null if `compare` is, or the shapes are others than in llama.cpp's graphs.
    static std::unique_ptr<far_rows> of(const ggml_tensor * node, const ggml_tensor * cells,
                                        const rows_comparer & compare);

    // Whether what the rows are said to do with their own cells is about the view's. REQUIRES own_cells and first_cell.
    bool is_about(const ubatch_view & view) const;

    const uint16_t * row(int64_t i) override;
    uint8_t own_entry(int64_t i) const override { return found_[static_cast<size_t>(i)]; }

  private:
    far_rows() = default;

    ggml_tensor mask_{};  // as it was: the graph's may be gone
    int64_t n_rows_ = 0;  // of a stream
    std::vector<int32_t> cells_;
    std::vector<uint8_t> found_;
    std::vector<std::unique_ptr<uint16_t[]>> rows_;  // copied one by one
    size_t n_copied_ = 0;
    std::unique_ptr<uint16_t[]> all_;  // the whole mask; null: rows were enough so far
};

}  // namespace tmx
