#include "glue/proxy/feed_forward_view.h"

#include <algorithm>
#include <optional>

#include "glue/backend_common.h"

namespace tmx {
namespace {

bool one_matrix(const ggml_tensor * t) {
    return t->ne[2] == 1 && t->ne[3] == 1;
}

// A product of rows in f32 with f16 weights, in the arithmetic that nothing asks for.
bool is_product_of_f16(const ggml_tensor * op) {
    if (op->op != GGML_OP_MUL_MAT || op->op_params[0] != GGML_PREC_DEFAULT || op->op_params[1] != GGML_HINT_NONE) {
        return false;
    }
    const ggml_tensor * weights = op->src[0];
    const ggml_tensor * rows = op->src[1];
    return weights->op == GGML_OP_NONE && weights->type == GGML_TYPE_F16 && rows->type == GGML_TYPE_F32 &&
           op->type == GGML_TYPE_F32 && one_matrix(weights) && one_matrix(rows) &&
           weights->nb[0] == ggml_type_size(weights->type) && weights->nb[1] % weights->nb[0] == 0 &&
           rows->nb[0] == sizeof(float) && rows->nb[1] % sizeof(float) == 0 && ggml_is_contiguous(op);
}

bool is_swiglu(const ggml_tensor * op) {
    return op->op == GGML_OP_GLU && ggml_get_glu_op(op) == GGML_GLU_OP_SWIGLU && op->src[1] != nullptr &&
           op->type == GGML_TYPE_F32 && ggml_is_contiguous(op);
}

// Weights of a tensor that is split over devices, or that stayed with the host, lie in memory of another kind.
bool in_one_memory(const ggml_tensor * a, const ggml_tensor * b) {
    const auto kind = [](const ggml_tensor * t) {
        return t->buffer != nullptr ? ggml_backend_buffer_get_type(t->buffer) : nullptr;
    };
    return kind(a) != nullptr && kind(a) == kind(b);
}

// The number of a product, if before node `end` lie only products and views down to it: gate and up come one behind the
// other, in either order.
std::optional<int> product_before(const ggml_cgraph * graph, int end, const ggml_tensor * product) {
    for (int i = end - 1; i >= 0; --i) {
        const ggml_tensor * node = graph->nodes[i];
        if (node == product) {
            return i;
        }
        if (node->op != GGML_OP_MUL_MAT && !computes_nothing(node)) {
            break;
        }
    }
    return std::nullopt;
}

std::optional<int> next_computed(const ggml_cgraph * graph, int after) {
    for (int i = after + 1; i < graph->n_nodes; ++i) {
        if (!computes_nothing(graph->nodes[i])) {
            return i;
        }
    }
    return std::nullopt;
}

bool only_these_compute(const ggml_cgraph * graph, const feed_forward_nodes & nodes) {
    return std::all_of(graph->nodes + nodes.first, graph->nodes + nodes.last + 1, [&](const ggml_tensor * node) {
        return node == nodes.gate || node == nodes.up || node == nodes.hidden || node == nodes.down ||
               node == nodes.out || computes_nothing(node);
    });
}

// The sum of what down gives and rows of the same shape, where it is the next node and nobody else reads down.
void add_sum(const ggml_cgraph * graph, feed_forward_nodes & nodes) {
    const std::optional<int> next = next_computed(graph, nodes.last);
    if (!next || graph->nodes[*next]->op != GGML_OP_ADD || !ggml_node_has_n_uses(graph, nodes.last, 1)) {
        return;
    }
    const ggml_tensor * sum = graph->nodes[*next];
    const ggml_tensor * added = sum->src[0] == nodes.down ? sum->src[1] : sum->src[0];
    const bool of_down = (sum->src[0] == nodes.down) != (sum->src[1] == nodes.down);
    if (of_down && ggml_are_same_shape(sum, nodes.down) && ggml_are_same_shape(added, nodes.down) &&
        sum->type == GGML_TYPE_F32 && added->type == GGML_TYPE_F32 && ggml_is_contiguous(sum) &&
        ggml_is_contiguous(added) && in_one_memory(sum, nodes.down) && in_one_memory(added, nodes.down)) {
        nodes.last = *next;
        nodes.added = added;
        nodes.out = sum;
    }
}

std::optional<feed_forward_nodes> block_around(const ggml_cgraph * graph, int number) {
    feed_forward_nodes nodes;
    nodes.hidden = graph->nodes[number];
    nodes.gate = nodes.hidden->src[0];
    nodes.up = nodes.hidden->src[1];
    if (!is_product_of_f16(nodes.gate) || !is_product_of_f16(nodes.up) || nodes.gate == nodes.up ||
        nodes.gate->src[1] != nodes.up->src[1] || !ggml_are_same_shape(nodes.gate, nodes.up) ||
        ggml_get_op_params_i32(nodes.hidden, 1) != 0) {  // 0: the first is the gate
        return std::nullopt;
    }
    const std::optional<int> gate = product_before(graph, number, nodes.gate);
    const std::optional<int> up = product_before(graph, number, nodes.up);
    const std::optional<int> last = next_computed(graph, number);
    if (!gate || !up || !last) {
        return std::nullopt;
    }
    nodes.out = nodes.down = graph->nodes[*last];
    nodes.first = std::min(*gate, *up);
    nodes.last = *last;
    const bool ends_here = is_product_of_f16(nodes.down) && nodes.down->src[1] == nodes.hidden &&
                           ggml_node_has_n_uses(graph, *gate, 1) && ggml_node_has_n_uses(graph, *up, 1) &&
                           ggml_node_has_n_uses(graph, number, 1);
    const bool here = in_one_memory(nodes.gate->src[0], nodes.out) && in_one_memory(nodes.up->src[0], nodes.out) &&
                      in_one_memory(nodes.down->src[0], nodes.out) && in_one_memory(nodes.gate->src[1], nodes.out);
    if (!ends_here || !here) {
        return std::nullopt;
    }
    add_sum(graph, nodes);
    return only_these_compute(graph, nodes) ? std::optional(nodes) : std::nullopt;
}

bool apart(const ggml_tensor * a, const ggml_tensor * b) {
    const auto * from_a = static_cast<const char *>(a->data);
    const auto * from_b = static_cast<const char *>(b->data);
    return from_a + ggml_nbytes(a) <= from_b || from_b + ggml_nbytes(b) <= from_a;
}

int64_t stride_of(const ggml_tensor * t) {
    return static_cast<int64_t>(t->nb[1] / t->nb[0]);
}

}  // namespace

std::vector<feed_forward_nodes> find_feed_forward(const ggml_cgraph * graph) {
    std::vector<feed_forward_nodes> found;
    for (int i = 0; i < graph->n_nodes; ++i) {
        if (is_swiglu(graph->nodes[i])) {
            if (const auto nodes = block_around(graph, i)) {
                found.push_back(*nodes);
            }
        }
    }
    return found;
}

// An allocator that knows how long each tensor is needed gives no other layout than these; another host's might.
bool has_room(const feed_forward_nodes & nodes) {
    const ggml_tensor * x = nodes.gate->src[1];
    const auto same_or_apart = [](const ggml_tensor * a, const ggml_tensor * b) {
        return a->data == b->data || apart(a, b);
    };
    const auto kept = [&](const ggml_tensor * t) {
        return apart(t, nodes.gate) && apart(t, nodes.up) && apart(t, nodes.hidden);
    };
    return apart(nodes.gate, nodes.up) && apart(nodes.gate, x) && apart(nodes.up, x) &&
           same_or_apart(nodes.gate, nodes.hidden) && same_or_apart(nodes.up, nodes.hidden) &&
           apart(nodes.hidden, nodes.out) &&
           (nodes.added == nullptr || (kept(nodes.added) && same_or_apart(nodes.added, nodes.out)));
}

feed_forward_args feed_forward_of(const feed_forward_nodes & nodes) {
    const ggml_tensor * x = nodes.gate->src[1];
    feed_forward_args args;
    args.n_rows = x->ne[1];
    args.n_in = x->ne[0];
    args.n_hidden = nodes.hidden->ne[0];
    args.n_out = nodes.out->ne[0];
    args.x = static_cast<const float *>(x->data);
    args.x_stride = stride_of(x);
    args.gate = nodes.gate->src[0]->data;
    args.up = nodes.up->src[0]->data;
    args.down = nodes.down->src[0]->data;
    args.gate_stride = stride_of(nodes.gate->src[0]);
    args.up_stride = stride_of(nodes.up->src[0]);
    args.down_stride = stride_of(nodes.down->src[0]);
    args.gate_rows = nodes.gate->data;
    args.up_rows = nodes.up->data;
    args.hidden = nodes.hidden->data;
    if (nodes.added != nullptr) {
        args.added = static_cast<const float *>(nodes.added->data);
        args.added_stride = args.n_out;
    }
    args.out = static_cast<float *>(nodes.out->data);
    args.out_stride = args.n_out;
    return args;
}

}  // namespace tmx
