#include "glue/rebuilt_inputs.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <optional>
#include <string_view>

#include "glue/backend_common.h"
#include "glue/buffers/input_writes.h"
#include "glue/graph_tensors.h"

namespace tmx {
namespace {

// Whether it is there before the graph is computed.
bool is_input(const ggml_tensor * tensor, ggml_type type) {
    return tensor != nullptr && is_graph_input(tensor) && tensor->type == type && ggml_is_contiguous(tensor);
}

// What names the output rows if it is what this node takes rows by. Before ggml 0.25 it had no name, and got that of a
// leaf: there it is the input by which rows of something computed are taken.
const ggml_tensor * output_ids(const ggml_tensor * node) {
    const ggml_tensor * ids = node->src[1];
    if (node->op != GGML_OP_GET_ROWS || !is_input(ids, GGML_TYPE_I32) || !ggml_is_vector(ids)) {
        return nullptr;
    }
    const ggml_tensor * rows = node->src[0]->view_src != nullptr ? node->src[0]->view_src : node->src[0];
    const bool unnamed =
        original_name(ids).starts_with("leaf_") && rows->type == GGML_TYPE_F32 && rows->op != GGML_OP_NONE;
    return names_output_ids(ids) || unnamed ? ids : nullptr;
}

}  // namespace

bool shows_inputs(const ggml_cgraph * graph) {
    bool any = false;
    for_each_tensor(graph, [&](const ggml_tensor * tensor) { any = any || tensor->op == GGML_OP_NONE; });
    return any;
}

bool rebuilt_inputs::keep(const ggml_cgraph * graph, const input_device & device) {
    drop_rewritten();
    n_old_ = std::ssize(copies_);
    any_known_ = false;
    writes_.clear();
    masks_.clear();
    device_ = &device;
    sole_tensor positions;
    sole_tensor out_ids;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const ggml_tensor * node = graph->nodes[i];
        if (node->op == GGML_OP_ROPE) {
            positions.offer(node->src[1]);
        } else if (writes_keys(node)) {
            const ggml_tensor * cells = is_input(node->src[1], GGML_TYPE_I64) ? readable_copy(node->src[1]) : nullptr;
            writes_.push_back({node->view_src, cells, went_through_rope(node->src[0])});
        } else if (const ggml_tensor * ids = output_ids(node)) {
            out_ids.offer(ids);
        } else if (node->op == GGML_OP_FLASH_ATTN_EXT && node->src[3] != nullptr) {
            const bool known = std::any_of(masks_.begin(), masks_.end(),
                                           [&](const known_mask & each) { return each.node->src[3] == node->src[3]; });
            if (!known) {
                masks_.push_back({node, nullptr, nullptr});
            }
        }
    }
    positions_ = is_input(positions.get(), GGML_TYPE_I32) ? readable_copy(positions.get()) : nullptr;
    out_ids_ = copy_of_output_ids(out_ids.get());
    std::for_each(masks_.begin(), masks_.end(), [&](known_mask & each) { keep_mask(each); });
    if (!any_known_) {
        copies_.erase(copies_.begin(), copies_.begin() + n_old_);
    }
    return any_known_;
}

void rebuilt_inputs::drop_rewritten() {
    std::erase_if(copies_, [](const copy & each) {
        return each.last_write == 0 || each.last_write != last_write_of(&each.original);
    });
}

// `shown`: what the graph's nodes take output rows by; null if they show none or several, as a part of a graph does.
// All of that was laid out in one buffer.
const ggml_tensor * rebuilt_inputs::copy_of_output_ids(const ggml_tensor * shown) {
    if (shown != nullptr) {
        return readable_copy(shown);
    }
    const std::optional<ggml_tensor> beside =
        masks_.empty() ? std::nullopt : laid_out_output_ids(masks_.front().node->src[3]->buffer);
    return beside ? readable_copy(&*beside) : nullptr;
}

void rebuilt_inputs::keep_mask(known_mask & mask) {
    const ggml_tensor * original = mask.node->src[3];
    if (in_host_memory(original)) {
        mask.readable = original;
    } else if (is_input(original, GGML_TYPE_F16)) {
        if (const copy * made = copy_of(original, mask.node)) {
            mask.readable = made->readable.get();
            mask.far = made->far.get();
        }
    }
}

// Where the node's own rows go; null if that is not known, or not certain.
const ggml_tensor * rebuilt_inputs::cells_of(const ggml_tensor * node) const {
    const ggml_tensor * cache = key_cache(node->src[1]);
    sole_tensor cells;
    for (const key_write & each : writes_) {
        if (each.cache == cache && each.cells != nullptr) {
            cells.offer(each.cells);
        }
    }
    return cells.get();
}

const ggml_tensor * rebuilt_inputs::readable_copy(const ggml_tensor * input) {
    const copy * made = copy_of(input);
    return made != nullptr ? made->readable.get() : nullptr;
}

// `node`: of a mask, one that reads it. Good until the next copy is made.
const rebuilt_inputs::copy * rebuilt_inputs::copy_of(const ggml_tensor * input, const ggml_tensor * node) {
    const auto known = std::find_if(copies_.begin(), copies_.end(), [&](const copy & each) {
        return each.original.data == input->data && each.original.buffer == input->buffer &&
               each.original.type == input->type && ggml_are_same_shape(&each.original, input);
    });
    if (known != copies_.end()) {
        // An input that holds nothing is never written.
        any_known_ = any_known_ || (ggml_nelements(input) > 0 && known - copies_.begin() < n_old_);
        return &*known;
    }
    copy made{.original = *input,
              .last_write = last_write_of(input),
              .readable = std::make_unique<ggml_tensor>(*input),
              .bytes = nullptr,
              .far = nullptr};
    made.readable->buffer = nullptr;
    made.readable->data = nullptr;
    const bool holds_nothing = ggml_nelements(input) == 0;
    if (!holds_nothing && (input->buffer == nullptr || input->data == nullptr || !read_input(input, node, made))) {
        return nullptr;
    }
    copies_.push_back(std::move(made));
    return &copies_.back();
}

// False: there is no memory for it.
bool rebuilt_inputs::read_input(const ggml_tensor * input, const ggml_tensor * node, copy & made) const {
    const size_t bytes = ggml_nbytes(input);
    const auto make_room = [&] {
        made.bytes.reset(new (std::nothrow) std::byte[bytes]);
        made.readable->data = made.bytes.get();
        return made.bytes != nullptr;
    };
    if (bytes <= k_most_kept_bytes) {
        if (!make_room()) {
            return false;
        }
        if (get_written(input, made.bytes.get())) {
            return true;
        }
    }
    device_->wait();
    if (bytes > k_most_kept_bytes) {
        if (node != nullptr && positions_ != nullptr) {
            made.far = far_rows::of(node, cells_of(node), device_->compare);
        }
        if (made.far != nullptr) {
            return true;
        }
        if (!make_room()) {
            return false;
        }
    }
    ggml_backend_tensor_get(input, made.bytes.get(), 0, bytes);
    return true;
}

input_tensors rebuilt_inputs::of(const ggml_tensor * node) const {
    // A graph that shows no positions may be a part of one that has them.
    input_tensors found{.masks = {},
                        .far = nullptr,
                        .positions = positions_,
                        .has_positions = true,
                        .own_cells = {},
                        .out_ids = out_ids_,
                        .rotary = false,
                        .whole_graph = false};
    for (const known_mask & each : masks_) {
        if (each.node->src[3] == node->src[3] && each.readable != nullptr) {
            found.masks = {each.readable};
            found.far = each.far;
        }
    }
    const ggml_tensor * cache = key_cache(node->src[1]);
    for (const key_write & each : writes_) {
        if (each.cache == cache) {
            found.rotary = each.rotary;
            if (each.cells != nullptr) {
                found.own_cells.push_back(each.cells);
            }
        }
    }
    return found;
}

}  // namespace tmx
