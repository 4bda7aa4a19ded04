#include "glue/proxy/graph_cutter.h"

#include <algorithm>

#include "backend/stopwatch.h"
#include "glue/backend_common.h"
#include "glue/graph_tensors.h"

namespace tmx {
namespace {

// A part of so many rows takes longer on the device than its launches do on the host.
constexpr int64_t k_rows_of_prompts = 256;

}  // namespace

graph_cutter::graph_cutter(ggml_backend_t wrapped, attention_executor * executor, layer_rules & rules,
                           statistics & counters, pending_counts & pending, late_masks & masks,
                           const passed_on_notes & notes)
    : wrapped_(wrapped),
      executor_(executor),
      rules_(rules),
      statistics_(counters),
      pending_(pending),
      masks_(masks),
      notes_(notes) {
    const ggml_backend_i & iface = wrapped_->iface;
    if (executor_ != nullptr && iface.event_record != nullptr && iface.event_wait != nullptr) {
        ready_.reset(ggml_backend_event_new(wrapped_->device));
        done_.reset(ggml_backend_event_new(wrapped_->device));
    }
    std::fill_n(mark_.ne, GGML_MAX_DIMS, 1);
    std::fill_n(mark_.nb, GGML_MAX_DIMS, ggml_type_size(mark_.type));
    ggml_set_name(&mark_, "TriangleMix part");
}

ggml_status graph_cutter::pass_on_whole(ggml_cgraph * graph) {
    masks_.send();
    const ggml_status result = ggml_backend_graph_compute_async(wrapped_, graph);
    statistics_.count_graph(false);
    return result;
}

ggml_status graph_cutter::pass_on(ggml_cgraph * graph, int begin, int end) {
    if (std::all_of(graph->nodes + begin, graph->nodes + end, computes_nothing)) {
        return GGML_STATUS_SUCCESS;
    }
    const ggml_cgraph part = nodes_of(graph, begin, end);
    ggml_cgraph view = n_rows_ >= k_rows_of_prompts ? marked(part) : part;
    return ggml_backend_graph_compute_async(wrapped_, &view);
}

// The part behind a node that computes nothing and is another one each time. ggml-cuda captures a graph that looks like
// the one with the same first node before it. The whole graph of a prompt seldom does, since its attention sees more
// keys each time; but a part of it, without attention, does where two questions about a text have as many tokens. To
// capture it costs more than to launch it, and nobody computes it a third time.
ggml_cgraph graph_cutter::marked(const ggml_cgraph & part) {
    ++mark_.op_params[0];
    marked_nodes_.assign(1, &mark_);
    marked_nodes_.insert(marked_nodes_.end(), part.nodes, part.nodes + part.n_nodes);
    ggml_cgraph made = part;
    made.nodes = marked_nodes_.data();
    made.n_nodes = part.n_nodes + 1;
    return made;
}

ggml_status graph_cutter::run(ggml_cgraph * graph, int begin, const std::vector<step> & steps,
                              const std::vector<feed_forward_step> & blocks) {
    statistics_.count_graph(true);
    auto next_step = steps.begin();
    auto next_block = blocks.begin();
    while (next_step != steps.end() || next_block != blocks.end()) {
        const bool is_step =
            next_block == blocks.end() || (next_step != steps.end() && next_step->node < next_block->first);
        ggml_status result = pass_on(graph, begin, is_step ? next_step->node : next_block->first);
        if (result == GGML_STATUS_SUCCESS) {
            result = is_step ? run_step(graph, *next_step) : run_block(graph, *next_block);
        }
        if (result != GGML_STATUS_SUCCESS) {
            return result;
        }
        begin = (is_step ? (next_step++)->node : (next_block++)->last) + 1;
    }
    return pass_on(graph, begin, graph->n_nodes);
}

// A node that the executor fails at is passed on after all.
ggml_status graph_cutter::run_step(ggml_cgraph * graph, const step & planned) {
    const stopwatch watch;
    uint64_t call = 0;
    const status result = in_order([&] { return executor_->forward(planned.view->args, planned.how->work, call); });
    if (result.ok()) {
        const prepared_layers & how = *planned.how;
        statistics_.count_node(describe_node(planned.view->args, planned.layer, planned.rule, how.ubatch->found,
                                             how.segments, how.marks, watch.seconds()));
        if (how.selected != nullptr) {
            pending_.expect(call, planned.layer, how.selected);
        }
        return GGML_STATUS_SUCCESS;
    }
    notes_.note(failure_name(result), result.message());
    if (!rules_.note_fallback(planned.layer, planned.rule, failure_name(result))) {
        return GGML_STATUS_FAILED;
    }
    masks_.send();
    return pass_on(graph, planned.node, planned.node + 1);
}

// Nor does a plan know of blocks, so one that fails is no fallback of it.
ggml_status graph_cutter::run_block(ggml_cgraph * graph, const feed_forward_step & block) {
    const status result = in_order([&] { return executor_->forward(block.args); });
    if (result.ok()) {
        statistics_.count_feed_forward(block.args.flops());
        return GGML_STATUS_SUCCESS;
    }
    notes_.note_feed_forward(result.message());
    return pass_on(graph, block.first, block.last + 1);
}

// What it enqueues comes behind all that the wrapped backend has, and before all that it gets.
status graph_cutter::in_order(const std::function<status()> & enqueue) {
    if (ready_ == nullptr || done_ == nullptr) {
        ggml_backend_synchronize(wrapped_);
        status result = enqueue();
        const status finished = executor_->synchronize();
        return result.ok() ? finished : result;
    }
    wrapped_->iface.event_record(wrapped_, ready_.get());
    status result = executor_->wait_for(ready_->context);
    if (result.ok()) {
        result = enqueue();
    }
    // After a failure too: what was enqueued before it must be over before others write the same memory.
    const status recorded = executor_->record(done_->context);
    if (recorded.ok()) {
        wrapped_->iface.event_wait(wrapped_, done_.get());
    } else {
        static_cast<void>(executor_->synchronize());
    }
    return result.ok() ? recorded : result;
}

}  // namespace tmx
