#include "glue/rebuilt_inputs.h"

#include <algorithm>
#include <new>
#include <string_view>

#include "glue/backend_common.h"
#include "glue/graph_tensors.h"

namespace tmx {
namespace {

// Whether it is there before the graph is computed.
bool is_input(const ggml_tensor * tensor, ggml_type type) {
    return tensor != nullptr && tensor->op == GGML_OP_NONE && tensor->view_src == nullptr && tensor->type == type &&
           ggml_is_contiguous(tensor);
}

// Of "RPC0[10.0.0.2:50052]#out_ids#0", a client's copy: the part between the marks. Any other name is itself.
std::string_view original_name(const ggml_tensor * tensor) {
    const std::string_view name(tensor->name);
    const size_t begin = name.find('#');
    const size_t end = name.rfind('#');
    return begin < end ? name.substr(begin + 1, end - begin - 1) : name;
}

// What names the output rows if it is what this node takes rows by. Before ggml 0.25 it had no name, and got that of a
// leaf: there it is the input by which rows of something computed are taken.
const ggml_tensor * output_ids(const ggml_tensor * node) {
    const ggml_tensor * ids = node->src[1];
    if (node->op != GGML_OP_GET_ROWS || !is_input(ids, GGML_TYPE_I32) || !ggml_is_vector(ids)) {
        return nullptr;
    }
    const std::string_view name = original_name(ids);
    const ggml_tensor * rows = node->src[0]->view_src != nullptr ? node->src[0]->view_src : node->src[0];
    const bool unnamed = name.starts_with("leaf_") && rows->type == GGML_TYPE_F32 && rows->op != GGML_OP_NONE;
    return name == "out_ids" || unnamed ? ids : nullptr;
}

}  // namespace

bool shows_inputs(const ggml_cgraph * graph) {
    bool any = false;
    for_each_tensor(graph, [&](const ggml_tensor * tensor) { any = any || tensor->op == GGML_OP_NONE; });
    return any;
}

void rebuilt_inputs::keep(const ggml_cgraph * graph) {
    copies_.clear();
    writes_.clear();
    masks_.clear();
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
    out_ids_ = out_ids.get() != nullptr ? copy_of(out_ids.get()) : nullptr;
}

const ggml_tensor * rebuilt_inputs::copy_of(const ggml_tensor * input) {
    const auto known =
        std::find_if(copies_.begin(), copies_.end(), [&](const copy & each) { return each.original == input; });
    if (known != copies_.end()) {
        return &known->tensor;
    }
    const size_t n_bytes = ggml_nbytes(input);
    copy made{.original = input, .tensor = *input, .bytes = nullptr};
    made.tensor.buffer = nullptr;
    made.tensor.data = nullptr;
    if (ggml_nelements(input) > 0) {
        if (input->buffer == nullptr || input->data == nullptr) {
            return nullptr;
        }
        made.bytes.reset(new (std::nothrow) std::byte[n_bytes]);
        if (made.bytes == nullptr) {
            return nullptr;
        }
        ggml_backend_tensor_get(input, made.bytes.get(), 0, n_bytes);
        made.tensor.data = made.bytes.get();
    }
    return &copies_.emplace_back(std::move(made)).tensor;
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
