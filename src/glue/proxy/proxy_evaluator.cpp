#include "glue/proxy/proxy_evaluator.h"

#include <span>

#include "glue/buffers/input_writes.h"
#include "glue/graph_tensors.h"
#include "glue/host_log.h"

namespace tmx {
namespace {

// A graph's nodes that are no views lie in the buffer that its inputs were laid out in.
void note_computation_of(const ggml_cgraph * graph) {
    for (int i = 0; i < graph->n_nodes; ++i) {
        const ggml_tensor * node = graph->nodes[i];
        if (node->view_src == nullptr && node->buffer != nullptr) {
            note_computation(node->buffer);
            return;
        }
    }
}

}  // namespace

proxy_evaluator::proxy_evaluator(const std::string & device, ggml_backend_t wrapped,
                                 std::unique_ptr<attention_executor> executor, settings & current,
                                 statistics & counters, const proxy_limits & limits, scratch_meter & held)
    : device_(device),
      wrapped_(wrapped),
      executor_(std::move(executor)),
      settings_(current),
      statistics_(counters),
      graph_(device),
      rules_(current, counters, host_log),
      ubatches_(counters, limits.deferred_mask_bytes),
      scratch_(executor_.get(), limits, held, counters),
      notes_(device, counters),
      pending_(executor_.get(), counters),
      planner_({.executor = executor_.get(),
                .current = current,
                .rules = rules_,
                .graph = graph_,
                .cells = cells_,
                .ubatches = ubatches_,
                .scratch = scratch_,
                .split = split_,
                .notes = notes_}),
      cutter_(wrapped, executor_.get(), rules_, counters, pending_, masks_, notes_) {}

proxy_evaluator::~proxy_evaluator() {
    ubatches_.clear();
    planner_.drop_prepared();
    if (executor_ != nullptr) {
        static_cast<void>(executor_->synchronize());
        pending_.finish();
        executor_.reset();
        scratch_.end();
    }
}

void proxy_evaluator::synchronize() {
    // Our work comes before an event that the wrapped backend's queue waits for, so its end is the end of all.
    ggml_backend_synchronize(wrapped_);
    pending_.finish();
}

ggml_status proxy_evaluator::compute(ggml_cgraph * graph) {
    try {
        return compute_part(graph);
    } catch (...) {
        // The wrapped backend may not have been told to wait for what we enqueued, and others use that memory next.
        if (executor_ != nullptr) {
            static_cast<void>(executor_->synchronize());
        }
        // Half of what was to be noted may be missing: what is known of cells may be wrong, and no next part can go on.
        cells_.forget();
        evaluation_.end();
        throw;
    }
}

ggml_status proxy_evaluator::compute_part(ggml_cgraph * graph) {
    if (graph_.look_at(graph)) {
        split_.note(graph);
    }
    planner_.clear_steps();
    // However this ends, nobody reads the host's masks after it.
    const struct masks_end {
        proxy_evaluator & self;
        ~masks_end() {
            self.ubatches_.stop_checks();
            self.statistics_.count_unsent_masks(self.masks_.drop());
        }
    } end{*this};
    masks_.take(graph);
    if (graph_.by_copies()) {
        masks_.send();  // the device's are read
    }
    begin_graph(graph);
    note_computation_of(graph);
    cells_.forget_rewritten();

    const bool has_attention = !graph_.attention().empty();
    if (!has_attention || executor_ == nullptr || !settings_.enabled()) {
        if (has_attention) {
            evaluation_.end();
        }
        const ggml_status result = cutter_.pass_on_whole(graph);
        if (executor_ != nullptr) {
            cells_.learn(graph);
        }
        return result;
    }
    const int first = planner_.first_step(graph);
    if (first < 0) {
        // In decoding the device would wait for all that the host does before: inputs are read while it works.
        const ggml_status result = cutter_.pass_on_whole(graph);
        cells_.learn(graph);
        if (scratch_.idle()) {
            planner_.drop_prepared();
            scratch_.release();
        }
        return result;
    }
    return compute_steps(graph, first);
}

ggml_status proxy_evaluator::compute_steps(ggml_cgraph * graph, int first) {
    cutter_.begin_graph(graph_.most_rows());
    // The device gets something to do before the mask is looked at.
    const int passed = expects_steps_ ? first : 0;
    if (const ggml_status result = cutter_.pass_on(graph, 0, passed); result != GGML_STATUS_SUCCESS) {
        return result;
    }
    if (!planner_.plan(graph, passed)) {
        return GGML_STATUS_FAILED;
    }
    expects_steps_ = !planner_.steps().empty();
    masks_.settle(graph, planner_.nodes_of_steps());
    if (passed == 0 && !expects_steps_) {
        return cutter_.pass_on_whole(graph);
    }
    if (expects_steps_) {
        scratch_.use();
    }
    const ggml_status result = cutter_.run(graph, passed, planner_.steps(), planner_.blocks());
    pending_.collect();
    return confirm_masks() ? result : GGML_STATUS_FAILED;
}

// The whole graph is in the hash set of each of its parts. If it still holds the node that the evaluation began with,
// then any evaluation of it brings that node here first; so no other one has begun while layers rise.
bool proxy_evaluator::has_beginning(const ggml_cgraph * graph) const {
    const ggml_hash_set & set = graph->visited_hash_set;
    return set.size > 0 && set.keys == began_.keys &&
           ggml_hash_contains(&set, const_cast<ggml_tensor *>(began_.first)) &&
           began_.first->op == GGML_OP_FLASH_ATTN_EXT && layer_of_keys(began_.first->src[1]) == began_.layer;
}

// This graph may be a further part of the evaluation that the last one belonged to, as where the host's CPU computes
// something between the layers. What was found then holds on, and must not be found again: the scheduler copies an
// input once, and then gives the original's memory to later nodes. Parts of a rebuilt graph show nothing of each other:
// there the inputs tell.
void proxy_evaluator::begin_graph(const ggml_cgraph * graph) {
    if (graph_.attention().empty()) {
        return;
    }
    bool same_copies = false;
    if (graph_.by_copies() && executor_ != nullptr) {
        same_copies = graph_.keep_inputs(
            graph, {.wait = [&] { ggml_backend_synchronize(wrapped_); },  // whatever fills the inputs
                    .compare =
                        [&](const device_mask & mask, std::span<const int32_t> cells, std::span<uint8_t> found) {
                            return executor_->compare_mask_rows(mask, cells, found).ok();
                        }});
    }
    const bool goes_on = graph_.rebuilt() ? same_copies : has_beginning(graph);
    if (!evaluation_.advance(graph_.first_layer(), graph_.last_layer(), goes_on)) {
        planner_.begin_evaluation();
        ubatches_.clear();
        graph_.begin_evaluation();
        cells_.begin_evaluation();
        scratch_.begin_evaluation();
        began_ = {graph->visited_hash_set.keys, graph->nodes[graph_.attention().front()], graph_.first_layer()};
    }
}

bool proxy_evaluator::confirm_masks() {
    if (ubatches_.confirm_masks()) {
        return true;
    }
    evaluation_.end();
    statistics_.count_fallback("mask_not_as_sampled");
    GGML_LOG_ERROR(
        "TriangleMix: %s: an attention mask is irregular in a way that its samples did not show, so this evaluation is "
        "void; from now on this context reads every mask whole before it computes. Repeat the prompt\n",
        device_.c_str());
    return false;
}

}  // namespace tmx
