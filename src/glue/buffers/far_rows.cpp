#include "glue/buffers/far_rows.h"

#include "glue/graph_inputs.h"

namespace tmx {
namespace {

// A causal mask of some users takes a row each. One that takes more, as with a window, is as soon copied whole.
constexpr size_t k_most_rows = 64;

// A cell counted over the whole cache, on the key axis of a stream that begins at `first`; -1: it is not there.
int32_t on_axis(int64_t cell, int64_t first, int64_t n_kv) {
    return cell >= first && cell - first < n_kv ? static_cast<int32_t>(cell - first) : -1;
}

}  // namespace

std::unique_ptr<far_rows> far_rows::of(const ggml_tensor * node, const ggml_tensor * cells,
                                       const rows_comparer & compare) {
    const ggml_tensor * mask = node->src[3];
    const int64_t n_rows = node->src[0]->ne[1];
    const int64_t n_stream = node->src[0]->ne[3];
    const int64_t n_kv = node->src[1]->ne[1];
    const std::vector<int64_t> first = first_cells(node, n_stream);
    if (!compare || cells == nullptr || ggml_nelements(cells) != n_stream * n_rows || cells->data == nullptr ||
        first.empty() || mask->ne[0] != n_kv || mask->ne[1] < n_rows || mask->ne[2] != 1 ||
        (mask->ne[3] != 1 && mask->ne[3] != n_stream)) {
        return nullptr;
    }
    const auto stride = [&](int axis) { return static_cast<int64_t>(mask->nb[axis] / sizeof(uint16_t)); };
    const device_mask shape{.data = mask->data,
                            .stride_stream = mask->ne[3] > 1 ? stride(3) : 0,
                            .stride_row = stride(1),
                            .n_stream = n_stream,
                            .n_rows = n_rows,
                            .n_kv = n_kv};
    std::unique_ptr<far_rows> made(new far_rows);
    const auto * own = static_cast<const int64_t *>(cells->data);
    for (int64_t i = 0; i < n_stream * n_rows; ++i) {
        made->cells_.push_back(on_axis(own[i], first[static_cast<size_t>(i / n_rows)], n_kv));
    }
    made->found_.resize(made->cells_.size());
    if (!compare(shape, made->cells_, made->found_)) {
        return nullptr;
    }
    made->mask_ = *mask;
    made->n_rows_ = n_rows;
    made->rows_.resize(made->cells_.size());
    return made;
}

bool far_rows::is_about(const ubatch_view & view) const {
    if (view.n_rows != n_rows_ || view.n_kv != mask_.ne[0] ||
        static_cast<size_t>(view.n_stream * view.n_rows) != cells_.size()) {
        return false;
    }
    for (size_t i = 0; i < cells_.size(); ++i) {
        if (cells_[i] != on_axis(view.own_cells[i], view.first_cell[i / static_cast<size_t>(n_rows_)], view.n_kv)) {
            return false;
        }
    }
    return true;
}

const uint16_t * far_rows::row(int64_t i) {
    const size_t stream_offset = mask_.ne[3] > 1 ? static_cast<size_t>(i / n_rows_) * mask_.nb[3] : 0;
    const size_t offset = stream_offset + static_cast<size_t>(i % n_rows_) * mask_.nb[1];
    std::unique_ptr<uint16_t[]> & copied = rows_[static_cast<size_t>(i)];
    if (copied != nullptr) {
        return copied.get();
    }
    if (all_ == nullptr && n_copied_ == k_most_rows) {
        std::unique_ptr<uint16_t[]> all(new uint16_t[ggml_nbytes(&mask_) / sizeof(uint16_t)]);
        ggml_backend_tensor_get(&mask_, all.get(), 0, ggml_nbytes(&mask_));
        all_ = std::move(all);
    }
    if (all_ != nullptr) {
        return all_.get() + offset / sizeof(uint16_t);
    }
    const auto bytes = static_cast<size_t>(mask_.ne[0]) * sizeof(uint16_t);
    copied.reset(new uint16_t[static_cast<size_t>(mask_.ne[0])]);
    ggml_backend_tensor_get(&mask_, copied.get(), offset, bytes);
    ++n_copied_;
    return copied.get();
}

}  // namespace tmx
