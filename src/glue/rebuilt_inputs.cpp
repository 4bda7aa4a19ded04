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

bool rebuilt_inputs::keep(const ggml_cgraph * graph, const std::function<void()> & wait) {
    drop_rewritten();
    n_old_ = std::ssize(copies_);
    any_known_ = false;
    writes_.clear();
    masks_.clear();
    wait_ = &wait;
    sole_tensor positions;
    sole_tensor out_ids;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const ggml_tensor * node = graph->nodes[i];
        if (node->op == GGML_OP_ROPE) {
            positions.offer(node->src[1]);
        } else if (writes_keys(node)) {
            const ggml_tensor * cells = is_input(node->src[1], GGML_TYPE_I64) ? copy_of(node->src[1]) : nullptr;
            writes_.push_back({node->view_src, cells, went_through_rope(node->src[0])});
        } else if (const ggml_tensor * ids = output_ids(node)) {
            out_ids.offer(ids);
        } else if (node->op == GGML_OP_FLASH_ATTN_EXT && node->src[3] != nullptr) {
            const ggml_tensor * mask = node->src[3];
            const bool known = std::any_of(masks_.begin(), masks_.end(),
                                           [&](const known_mask & each) { return each.original == mask; });
            if (!known) {
                masks_.push_back({mask, in_host_memory(mask)            ? mask
                                        : is_input(mask, GGML_TYPE_F16) ? copy_of(mask)
                                                                        : nullptr});
            }
        }
    }
    positions_ = is_input(positions.get(), GGML_TYPE_I32) ? copy_of(positions.get()) : nullptr;
    out_ids_ = copy_of_output_ids(out_ids.get());
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
        return copy_of(shown);
    }
    const std::optional<ggml_tensor> beside =
        masks_.empty() ? std::nullopt : laid_out_output_ids(masks_.front().original->buffer);
    return beside ? copy_of(&*beside) : nullptr;
}

const ggml_tensor * rebuilt_inputs::copy_of(const ggml_tensor * input) {
    const auto known = std::find_if(copies_.begin(), copies_.end(), [&](const copy & each) {
        return each.original.data == input->data && each.original.buffer == input->buffer &&
               each.original.type == input->type && ggml_are_same_shape(&each.original, input);
    });
    if (known != copies_.end()) {
        // An input that holds nothing is never written.
        any_known_ = any_known_ || (ggml_nelements(input) > 0 && known - copies_.begin() < n_old_);
        return known->readable.get();
    }
    copy made{.original = *input,
              .last_write = last_write_of(input),
              .readable = std::make_unique<ggml_tensor>(*input),
              .bytes = nullptr};
    made.readable->buffer = nullptr;
    made.readable->data = nullptr;
    if (ggml_nelements(input) > 0) {
        if (input->buffer == nullptr || input->data == nullptr) {
            return nullptr;
        }
        made.bytes.reset(new (std::nothrow) std::byte[ggml_nbytes(input)]);
        if (made.bytes == nullptr) {
            return nullptr;
        }
        if (!get_written(input, made.bytes.get())) {
            (*wait_)();
            ggml_backend_tensor_get(input, made.bytes.get(), 0, ggml_nbytes(input));
        }
        made.readable->data = made.bytes.get();
    }
    copies_.push_back(std::move(made));
    return copies_.back().readable.get();
}

input_tensors rebuilt_inputs::of(const ggml_tensor * node) const {
    // A graph that shows no positions may be a part of one that has them.
    input_tensors found{.masks = {},
                        .positions = positions_,
                        .has_positions = true,
                        .own_cells = {},
                        .out_ids = out_ids_,
                        .rotary = false,
                        .whole_graph = false};
    for (const known_mask & each : masks_) {
        if (each.original == node->src[3] && each.readable != nullptr) {
            found.masks = {each.readable};
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
