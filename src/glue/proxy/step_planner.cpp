#include "glue/proxy/step_planner.h"

#include <algorithm>
#include <optional>

#include "glue/graph_shape.h"
#include "glue/graph_tensors.h"
#include "glue/queries_rotary.h"

namespace tmx {
namespace {

// Whether a work prepared for one serves the other: all that attention_args says but the pointers, and those as far as
// their alignment goes.
bool same_shape(const attention_args & a, const attention_args & b) {
    const auto alignment = [](const void * p) { return reinterpret_cast<uintptr_t>(p) % 16; };
    return a.k_type == b.k_type && a.v_type == b.v_type && a.n_batch == b.n_batch && a.n_head == b.n_head &&
           a.n_head_kv == b.n_head_kv && a.n_q == b.n_q && a.n_kv == b.n_kv && a.d_qk == b.d_qk && a.d_v == b.d_v &&
           a.q_stride_batch == b.q_stride_batch && a.q_stride_head == b.q_stride_head &&
           a.q_stride_row == b.q_stride_row && a.k_stride_batch == b.k_stride_batch &&
           a.k_stride_head == b.k_stride_head && a.k_stride_row == b.k_stride_row &&
           a.v_stride_batch == b.v_stride_batch && a.v_stride_head == b.v_stride_head &&
           a.v_stride_row == b.v_stride_row && a.out_stride_batch == b.out_stride_batch &&
           a.out_stride_row == b.out_stride_row && a.out_stride_head == b.out_stride_head && a.scale == b.scale &&
           a.logit_softcap == b.logit_softcap && a.skip_factor == b.skip_factor && alignment(a.k) == alignment(b.k) &&
           alignment(a.v) == alignment(b.v);
}

// What a block saves grows with what it does not write and read in f32, some 25 bytes of device memory a value of its
// hidden rows; to hand it over takes some 15 microseconds, in which a GPU moves 50 MB.
constexpr int64_t k_least_values = int64_t{1} << 22;

}  // namespace

std::vector<int> step_planner::nodes_of_steps() const {
    std::vector<int> nodes;
    for (const step & each : steps_) {
        nodes.push_back(each.node);
    }
    return nodes;
}

void step_planner::clear_steps() {
    steps_.clear();
    blocks_.clear();
}

void step_planner::begin_evaluation() {
    drop_prepared();
    has_rules_ = false;
}

void step_planner::drop_prepared() {
    clear_steps();
    prepared_.clear();
}

int step_planner::first_step(const ggml_cgraph * graph) const {
    const std::vector<int> & nodes = use_.graph.attention();
    if (use_.graph.most_rows() < use_.current.min_rows() || use_.graph.most_keys() < use_.current.min_keys()) {
        return -1;  // all of them are too small
    }
    const auto first =
        std::find_if(nodes.begin(), nodes.end(), [&](int i) { return why_too_small(graph->nodes[i]) == nullptr; });
    return first != nodes.end() ? *first : -1;
}

// Why a node is not worth handing over; null if it is.
const char * step_planner::why_too_small(const ggml_tensor * node) const {
    if (node->src[0]->ne[1] < use_.current.min_rows()) {
        return "rows";
    }
    return node->src[1]->ne[1] < use_.current.min_keys() ? "keys" : nullptr;
}

bool step_planner::plan(const ggml_cgraph * graph, int begin) {
    begin_rules(graph);
    use_.graph.keep_positions(graph, graph->nodes[use_.graph.attention().front()]);
    use_.cells.learn(graph);
    for (const int i : use_.graph.attention()) {
        if (const char * reason = why_too_small(graph->nodes[i])) {
            use_.notes.note(reason);
        } else if (!plan_node(graph, i)) {
            return false;
        }
    }
    plan_blocks(begin);
    return true;
}

// Where a graph has no attention for the kernels it is passed on whole.
void step_planner::plan_blocks(int begin) {
    if (steps_.empty() || use_.current.asked_products() == product_way::off) {
        return;
    }
    for (const feed_forward_nodes & nodes : use_.graph.feed_forward()) {
        if (nodes.first < begin) {
            continue;
        }
        const int64_t n_rows = nodes.hidden->ne[1];
        const std::optional<int64_t> asked = use_.current.products_min_rows();
        if (asked ? n_rows < *asked : ggml_nelements(nodes.hidden) < k_least_values) {
            use_.notes.note_feed_forward("few rows");
            continue;
        }
        if (!has_room(nodes)) {
            use_.notes.note_feed_forward("its tensors share memory");
            continue;
        }
        const feed_forward_args args = feed_forward_of(nodes);
        if (const char * why = use_.executor->declines(args)) {
            use_.notes.note_feed_forward(why);
            continue;
        }
        blocks_.push_back({nodes.first, nodes.last, args});
    }
}

// Takes settings and plan, once an evaluation.
void step_planner::begin_rules(const ggml_cgraph * graph) {
    if (!has_rules_) {
        use_.rules.begin();
        const auto shape = [&] {
            return use_.split.whole(shape_of_graph(graph), graph->nodes[use_.graph.attention().front()]);
        };
        if (use_.graph.rebuilt()) {
            use_.rules.expect_model(shape());
        }
        use_.rules.check_plan(shape, use_.executor->kernel());
        has_rules_ = true;
    }
}

// False, as plan(): strict mode forbids it.
bool step_planner::plan_node(const ggml_cgraph * graph, int index) {
    const ggml_tensor * node = graph->nodes[index];
    const int32_t layer = layer_of_keys(node->src[1]);
    layer_rule rule = use_.rules.decide_rule(layer, use_.split.heads_of(node));
    if (const auto reason = why_declined(node, 1)) {
        return pass_on(layer, rule, to_string(*reason));
    }
    auto view = std::make_unique<fattn_view>(node);
    view->args.dense_head = rule.dense_head();
    view->args.skip_factor = rule.skip_factor;
    if (const auto reason = without_runs(*view, layer)) {
        return pass_on(layer, rule, to_string(*reason));
    }
    attention_args without_mask = view->args;
    without_mask.mask = nullptr;
    if (const char * why = use_.executor->declines(without_mask)) {
        return pass_on(layer, rule, "kernel", why);
    }
    device_ubatch source(use_.graph, use_.cells, graph, node, *view);
    const attention_args & args = view->args;
    const known_ubatch & ubatch = use_.ubatches.of({node->src[3], args.n_batch, args.n_q, args.n_kv}, source);
    // The kernels take rows in runs only, so one masked row leaves the whole node to the wrapped backend.
    if (!use_.rules.note_fallbacks(layer, rule, ubatch.found, 1)) {
        return false;
    }
    if (!ubatch.found.masked.empty()) {
        use_.notes.note(to_string(ubatch.found.masked.front().reason));
        use_.notes.note_pairs(layer,
                              count_pairs(ubatch.found, make_segments(ubatch.found, {}), shape_of_node(without_mask)));
        return true;
    }
    if (!use_.rules.settle_rotary(layer, rule, ubatch.found, rotary_of_queries(node))) {
        return false;
    }
    view->args = without_mask;
    view->args.dense_head = rule.dense_head();
    const prepared_layers & how = prepare(ubatch, rule, view->args);
    if (!how.made.ok()) {
        use_.notes.note(failure_name(how.made), how.made.message());
        return use_.rules.note_fallback(layer, rule, "device");
    }
    steps_.push_back({index, layer, std::move(view), rule, &how});
    return true;
}

// The wrapped backend computes the node, exactly.
bool step_planner::pass_on(int32_t layer, const layer_rule & rule, const char * reason, const char * why) {
    use_.notes.note(reason, why);
    return use_.rules.note_fallback(layer, rule, reason);
}

// A failure holds for the evaluation: without memory the next layer would only fail again, and slowly.
const prepared_layers & step_planner::prepare(const known_ubatch & ubatch, const layer_rule & rule,
                                              const attention_args & args) {
    const auto known = std::find_if(prepared_.begin(), prepared_.end(), [&](const prepared_layers & each) {
        return each.ubatch == &ubatch && each.rule.id() == rule.id() && each.rule.rotary == rule.rotary &&
               same_shape(each.shape, args);
    });
    if (known != prepared_.end()) {
        return *known;
    }
    prepared_layers & made = prepared_.emplace_back();
    made.ubatch = &ubatch;
    made.rule = rule;
    made.shape = args;
    made.segments = make_segments(ubatch.found, rule);
    std::optional<layer_request> selection;
    made.marks = selected_marks(ubatch.found, made.segments, rule);
    if (!made.marks.empty()) {
        selection.emplace(rule, made.marks, args.n_head_kv);
        made.selected = std::make_shared<const selected_node>(selection->request(), made.segments, shape_of_node(args));
    }
    use_.scratch.limit();
    made.made = use_.executor->prepare(args, made.segments, selection ? &selection->request() : nullptr, made.work);
    use_.scratch.note();
    return made;
}

}  // namespace tmx
