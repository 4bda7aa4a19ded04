#include "glue/graph_inputs.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "backend/runs/own_rows.h"
#include "backend/runs/row_positions.h"
#include "glue/backend_common.h"
#include "glue/buffers/far_rows.h"
#include "glue/graph_tensors.h"
#include "glue/rebuilt_inputs.h"

namespace tmx {
namespace {

bool readable(const ggml_tensor * tensor, ggml_type type) {
    return tensor->type == type && ggml_is_contiguous(tensor) && in_host_memory(tensor);
}

// Of "TriangleMix0#attn_inp_kq_mask#0", device TriangleMix0: the part between the marks; "" if it is no such name.
std::string_view name_of_original(const ggml_tensor * copy, std::string_view device) {
    std::string_view name(copy->name);
    if (device.empty() || !name.starts_with(device) || !name.substr(device.size()).starts_with('#')) {
        return {};
    }
    name.remove_prefix(device.size() + 1);
    return name.substr(0, name.rfind('#') == std::string_view::npos ? 0 : name.rfind('#'));
}

bool is_input_named(const ggml_tensor * tensor, std::string_view name) {
    return tensor->op == GGML_OP_NONE && !name.empty() && name == tensor->name;
}

// The tensor itself if the host can read it, else all host tensors that it can be a copy of.
std::vector<const ggml_tensor *> host_originals(const ggml_cgraph * graph, const ggml_tensor * tensor,
                                                std::string_view device) {
    if (tensor == nullptr) {
        return {};
    }
    if (device.empty() || in_host_memory(tensor)) {
        return {tensor};
    }
    const std::string_view name = name_of_original(tensor, device);
    std::vector<const ggml_tensor *> originals;
    for_each_tensor(graph, [&](const ggml_tensor * each) {
        if (is_input_named(each, name) && each->type == tensor->type && ggml_are_same_shape(each, tensor) &&
            in_host_memory(each)) {
            originals.push_back(each);
        }
    });
    return originals;
}

// Which one does not matter if all hold the same; null if they differ.
const ggml_tensor * interchangeable(const std::vector<const ggml_tensor *> & tensors) {
    const bool same = std::all_of(tensors.begin(), tensors.end(), [&](const ggml_tensor * each) {
        const ggml_tensor * first = tensors.front();
        return each == first || (ggml_is_contiguous(each) && ggml_is_contiguous(first) &&
                                 std::memcmp(each->data, first->data, ggml_nbytes(first)) == 0);
    });
    return same && !tensors.empty() ? tensors.front() : nullptr;
}

bool can_be_cells(const ggml_tensor * cells, int64_t n_tokens) {
    return readable(cells, GGML_TYPE_I64) && ggml_nelements(cells) == n_tokens;
}

// Whether every row sees its cell, and the row before does not: so it is in every causal mask.
bool mask_has_cells(const ubatch_view & view, const int64_t * cells) {
    for (int64_t stream = 0; stream < view.n_stream; ++stream) {
        for (int64_t row = 0; row < view.n_rows; ++row) {
            const int64_t cell = cells[stream * view.n_rows + row] - view.first_cell[static_cast<size_t>(stream)];
            if (cell < 0 || cell >= view.n_kv || view.mask_row(stream, row)[cell] != ubatch_view::k_visible ||
                (row > 0 && view.mask_row(stream, row - 1)[cell] != ubatch_view::k_hidden)) {
                return false;
            }
        }
    }
    return true;
}

// The cells that the view's rows are in; null if that is not certain. REQUIRES mask and first_cell of the view.
const int64_t * cells_of_rows(std::vector<const ggml_tensor *> candidates, const ubatch_view & view) {
    std::erase_if(candidates,
                  [&](const ggml_tensor * each) { return !can_be_cells(each, view.n_stream * view.n_rows); });
    if (interchangeable(candidates) == nullptr) {
        std::erase_if(candidates, [&](const ggml_tensor * each) {
            return !mask_has_cells(view, static_cast<const int64_t *>(each->data));
        });
    }
    const ggml_tensor * cells = interchangeable(candidates);
    return cells != nullptr ? static_cast<const int64_t *>(cells->data) : nullptr;
}

void set_output_rows(const ggml_tensor * out_ids, ubatch_view & view) {
    // A ubatch without output rows has an empty tensor, which has no data.
    if (out_ids != nullptr && ggml_nelements(out_ids) == 0) {
        view.outputs_known = true;
    } else if (out_ids != nullptr && readable(out_ids, GGML_TYPE_I32)) {
        view.outputs_known = true;
        view.output_rows = {static_cast<const int32_t *>(out_ids->data), static_cast<size_t>(ggml_nelements(out_ids))};
    }
}

// Whether the positions are known, or known to be none.
bool set_positions(const input_tensors & tensors, int64_t n_tokens, ubatch_inputs & inputs) {
    const ggml_tensor * pos = tensors.positions;
    if (pos == nullptr) {
        return !tensors.has_positions;
    }
    if (!readable(pos, GGML_TYPE_I32) || ggml_nelements(pos) == 0 || ggml_nelements(pos) % n_tokens != 0) {
        return false;
    }
    const auto * values = static_cast<const int32_t *>(pos->data);
    const int64_t n_sections = ggml_nelements(pos) / n_tokens;
    if (n_sections > 1) {
        inputs.positions = text_positions(values, n_tokens, n_sections);
    }
    inputs.view.positions = n_sections > 1 ? inputs.positions.data() : values;
    return true;
}

ubatch_view view_of_mask(const fattn_view & fattn) {
    return {.mask = fattn.args.mask,
            .mask_stride_stream = fattn.args.mask_stride_batch,
            .mask_stride_row = fattn.args.mask_stride_row,
            .n_stream = fattn.args.n_batch,
            .n_rows = fattn.args.n_q,
            .n_kv = fattn.args.n_kv,
            .positions = nullptr,
            .own_cells = nullptr,
            .first_cell = {},
            .output_rows = {},
            .outputs_known = false};
}

bool is_output_ids(const ggml_tensor * tensor) {
    return tensor->op == GGML_OP_NONE && std::string_view(tensor->name) == "out_ids";
}

// llama.cpp gave them no name before ggml 0.25. There they are what rows of activations, so of something computed, are
// taken by: rows of weights and of caches are taken by other inputs. On a GPU that is a copy, of the host's original if
// it holds any. Of several originals none is taken, also if they hold the same, as is done with masks and cells: those
// are compared whenever they are read, this is chosen for as long as the graph is used. The copy cannot be read: all
// rows are dense then.
const ggml_tensor * unnamed_output_ids(const ggml_cgraph * graph, const ggml_tensor * tensor, std::string_view device) {
    if (tensor->op != GGML_OP_GET_ROWS || tensor->src[0]->type != GGML_TYPE_F32) {
        return nullptr;
    }
    const ggml_tensor * rows = tensor->src[0];
    const ggml_tensor * source = rows->view_src != nullptr ? rows->view_src : rows;
    const ggml_tensor * ids = tensor->src[1];
    const bool is_copy = !name_of_original(ids, device).empty();
    if (is_copy && ggml_nelements(ids) > 0) {
        const std::vector<const ggml_tensor *> originals = host_originals(graph, ids, device);
        ids = originals.size() == 1 ? originals.front() : ids;
    }
    const bool is_input =
        ids->op == GGML_OP_NONE && ids->view_src == nullptr && (is_copy || (ids->flags & GGML_TENSOR_FLAG_INPUT) != 0);
    return source->op != GGML_OP_NONE && is_input && ids->type == GGML_TYPE_I32 && ggml_is_vector(ids) ? ids : nullptr;
}

}  // namespace

input_tensors find_inputs(const ggml_cgraph * graph, const ggml_tensor * node, const char * device) {
    const ggml_tensor * cache = key_cache(node->src[1]);
    sole_tensor positions;
    sole_tensor own_cells;
    sole_tensor out_ids;
    sole_tensor unnamed_out_ids;
    const std::string_view device_name = device != nullptr ? device : "";
    bool rotary = false;
    for_each_tensor(graph, [&](const ggml_tensor * tensor) {
        if (tensor->op == GGML_OP_SET_ROWS && tensor->view_src == cache) {
            own_cells.offer(tensor->src[1]);
            rotary = went_through_rope(tensor->src[0]);
        } else if (is_output_ids(tensor)) {
            out_ids.offer(tensor);
        } else if (const ggml_tensor * ids = unnamed_output_ids(graph, tensor, device_name); ids != nullptr) {
            unnamed_out_ids.offer(ids);
        } else if (is_input_named(tensor, "inp_pos")) {
            positions.offer(tensor);
        }
    });
    return {.masks = host_originals(graph, node->src[3], device_name),
            .far = nullptr,
            .positions = positions.get(),
            .has_positions = positions.any(),
            .own_cells = host_originals(graph, own_cells.get(), device_name),
            .out_ids = out_ids.any() ? out_ids.get() : unnamed_out_ids.get(),
            .rotary = rotary,
            .whole_graph = true};
}

bool has_several_originals(const ggml_cgraph * graph, const ggml_tensor * copy, const char * device) {
    return host_originals(graph, copy, device).size() > 1;
}

ubatch_inputs read_inputs(const input_tensors & tensors, const ggml_tensor * node, const fattn_view & fattn) {
    ubatch_inputs inputs;
    inputs.view = view_of_mask(fattn);
    inputs.out_ids = tensors.out_ids;
    ubatch_view & view = inputs.view;
    set_output_rows(tensors.out_ids, view);
    inputs.outputs_hidden = !view.outputs_known && !tensors.whole_graph;

    inputs.missing = mask_reason::no_inputs;
    const int64_t n_tokens = view.n_stream * view.n_rows;
    const ggml_tensor * mask = interchangeable(tensors.masks);
    if (mask == nullptr) {
        return inputs;
    }
    view.far = tensors.far;
    if (mask != node->src[3]) {
        const auto stride = [&](int axis) { return static_cast<int64_t>(mask->nb[axis] / sizeof(uint16_t)); };
        view.mask = static_cast<const uint16_t *>(mask->data);
        view.mask_stride_stream = mask->ne[3] > 1 ? stride(3) : 0;
        view.mask_stride_row = stride(1);
    }
    const auto fits = [&](const ggml_tensor * each) { return can_be_cells(each, n_tokens); };
    inputs.first_cell = first_cells(node, view.n_stream);
    if (inputs.first_cell.empty() || !set_positions(tensors, n_tokens, inputs) ||
        std::none_of(tensors.own_cells.begin(), tensors.own_cells.end(), fits)) {
        return inputs;
    }
    view.first_cell = inputs.first_cell;  // a vector keeps its storage when it is moved
    view.own_cells = cells_of_rows(tensors.own_cells, view);
    // Without positions, rows are read when the device may have written other things over them (row_positions.h).
    if (view.own_cells == nullptr ||
        (tensors.far != nullptr && (view.positions == nullptr || !tensors.far->is_about(view)))) {
        return inputs;
    }
    inputs.missing.reset();
    return inputs;
}

// Cell numbers count rows of the cache tensor; the node's keys are a view that starts at some row of it.
std::vector<int64_t> first_cells(const ggml_tensor * node, int64_t n_stream) {
    const ggml_tensor * k = cached_keys(node->src[1]);
    if (k == nullptr || k->view_src->data == nullptr || !ggml_are_same_shape(k, node->src[1])) {
        return {};
    }
    const auto row_bytes = static_cast<int64_t>(k->view_src->nb[1]);
    const int64_t offset = static_cast<const std::byte *>(k->data) - static_cast<const std::byte *>(k->view_src->data);
    const auto stream_bytes = n_stream > 1 ? static_cast<int64_t>(k->nb[3]) : 0;
    if (static_cast<int64_t>(k->nb[1]) != row_bytes || offset < 0 || offset % row_bytes != 0 ||
        stream_bytes % row_bytes != 0) {
        return {};
    }
    std::vector<int64_t> first;
    for (int64_t stream = 0; stream < n_stream; ++stream) {
        first.push_back((offset + stream * stream_bytes) / row_bytes);
    }
    return first;
}

void forget_rows(const input_tensors & tensors, cell_table & table) {
    bool known = false;
    for (const ggml_tensor * cells : tensors.own_cells) {
        if (readable(cells, GGML_TYPE_I64)) {
            known = true;
            const auto * first = static_cast<const int64_t *>(cells->data);
            std::for_each(first, first + ggml_nelements(cells), [&](int64_t cell) { table.forget(cell, 1); });
        }
    }
    if (!known) {
        table = {};
    }
}

void learn_inputs(const input_tensors & tensors, const ubatch_inputs & inputs, known_cells & cells) {
    if (inputs.missing) {
        forget_rows(tensors, cells.table);
    } else {
        learn_rows(inputs.view, cells.table, cells.keys);
    }
}

ubatch_inputs host_ubatch::read() {
    const input_tensors tensors = rebuilt_ != nullptr ? rebuilt_->of(node_) : find_inputs(graph_, node_, nullptr);
    ubatch_inputs inputs = read_inputs(tensors, node_, view_);
    cells_ = &caches_.of(key_cache(node_->src[1]), tensors.rotary);
    learn_inputs(tensors, inputs, *cells_);
    return inputs;
}

// The output rows are there only if the graph still holds the tensor that names them.
std::optional<ubatch_view> host_ubatch::look_again(const ubatch_inputs & before) {
    if (rebuilt_ != nullptr) {
        return std::nullopt;  // each graph is an evaluation of its own
    }
    ubatch_view view = view_of_mask(view_);
    const auto * out_ids = static_cast<const ggml_tensor *>(before.out_ids);
    const ggml_hash_set & set = graph_->visited_hash_set;
    if (out_ids != nullptr && set.size > 0 && ggml_hash_contains(&set, const_cast<ggml_tensor *>(out_ids)) &&
        is_output_ids(out_ids)) {
        set_output_rows(out_ids, view);
    }
    return view;
}

}  // namespace tmx
