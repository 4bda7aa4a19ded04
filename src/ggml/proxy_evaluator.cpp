#include "ggml/proxy_evaluator.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "ggml/backend_common.h"
#include "ggml/node_work.h"

namespace tmx {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

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
           alignment(a.k) == alignment(b.k) && alignment(a.v) == alignment(b.v);
}

const char * failure_name(const status & failed) {
    switch (failed.code()) {
        case status_code::out_of_memory:
            return "out_of_memory";
        case status_code::unsupported:
            return "unsupported";
        default:
            return "device_error";
    }
}

// What the device will keep, as far as it is known before; else all that the rows see: nothing is claimed to be
// skipped.
selected_pairs pairs_ahead(const selection_request & selection, const attention_args & args,
                           const std::vector<attention_segment> & segments) {
    selected_pairs ahead{.marks = selection.selected, .kept = 0};
    if (const auto known = pairs_known_ahead(selection, args, segments)) {
        ahead.kept = static_cast<double>(*known);
        return ahead;
    }
    for (size_t i = 0; i < segments.size(); ++i) {
        if (selection.selected[i] != 0) {
            const int64_t end = segments[i].rank_begin + segments[i].row_end - segments[i].row_begin;
            ahead.kept += static_cast<double>(kept_pairs(band{}, {segments[i].rank_begin, end}) * args.n_head);
        }
    }
    return ahead;
}

}  // namespace

proxy_evaluator::proxy_evaluator(std::string device, ggml_backend_t wrapped,
                                 std::unique_ptr<attention_executor> executor, settings & current,
                                 statistics & counters, proxy_limits limits, scratch_meter & held)
    : device_(std::move(device)),
      wrapped_(wrapped),
      executor_(std::move(executor)),
      settings_(current),
      statistics_(counters),
      limits_(limits),
      held_(held),
      graph_(device_),
      rules_(current, counters) {
    const ggml_backend_i & iface = wrapped_->iface;
    if (executor_ != nullptr && iface.event_record != nullptr && iface.event_wait != nullptr) {
        ready_.reset(ggml_backend_event_new(wrapped_->device));
        done_.reset(ggml_backend_event_new(wrapped_->device));
    }
}

proxy_evaluator::~proxy_evaluator() {
    ubatches_.clear();
    works_.clear();
    if (executor_ != nullptr) {
        static_cast<void>(executor_->synchronize());
        executor_.reset();
        note_scratch();
    }
}

void proxy_evaluator::synchronize() {
    // Our work comes before an event that the wrapped backend's queue waits for, so its end is the end of all.
    ggml_backend_synchronize(wrapped_);
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
        caches_ = {};
        last_layer_ = -1;
        throw;
    }
}

ggml_status proxy_evaluator::compute_part(ggml_cgraph * graph) {
    graph_.look_at(graph);
    const std::vector<int> & nodes = graph_.attention();
    steps_.clear();
    begin_graph(graph, nodes);
    // However this ends, nobody reads the host's masks after it.
    const struct check_end {
        std::deque<classified> & ubatches;
        ~check_end() {
            for (classified & each : ubatches) {
                each.check.reset();
            }
        }
    } end{ubatches_};
    // As when positions are shifted: what the keys are then cannot be told.
    for (const ggml_tensor * cache : graph_.rewritten()) {
        caches_.of(cache, false).table = {};
    }
    const auto whole = [&] {
        const ggml_status result = ggml_backend_graph_compute_async(wrapped_, graph);
        statistics_.proxied_graph(false);
        return result;
    };
    if (nodes.empty() || executor_ == nullptr || !settings_.enabled()) {
        last_layer_ = nodes.empty() ? last_layer_ : -1;
        const ggml_status result = whole();
        if (executor_ != nullptr) {
            learn_cells(graph, graph_.masks());
        }
        return result;
    }
    const auto first = first_of_ours(graph);
    if (first == nodes.end()) {
        // In decoding the device would wait for all that the host does before: inputs are read while it works.
        const ggml_status result = whole();
        learn_cells(graph, graph_.masks());
        release_idle_scratch();
        return result;
    }
    // The device gets something to do before the mask is looked at.
    const int passed = expects_steps_ ? *first : 0;
    if (const ggml_status result = pass_on(graph, 0, passed); result != GGML_STATUS_SUCCESS) {
        return result;
    }
    if (!plan_steps(graph, nodes)) {
        return GGML_STATUS_FAILED;
    }
    expects_steps_ = !steps_.empty();
    if (passed == 0 && steps_.empty()) {
        return whole();
    }
    statistics_.proxied_graph(true);
    const ggml_status result = run_steps(graph, passed);
    return masks_confirmed() ? result : GGML_STATUS_FAILED;
}

// Whether this graph is a further part of the evaluation that the last one belonged to, as where the host's CPU
// computes something between the layers. What was found then holds on, and must not be found again: the scheduler
// copies an input once, and then gives the original's memory to later nodes.
//
// The whole graph is in the hash set of each part. If it still holds the node that the evaluation began with, then any
// evaluation of it brings that node here first; so no other one has begun while layers rise.
void proxy_evaluator::begin_graph(const ggml_cgraph * graph, const std::vector<int> & nodes) {
    if (nodes.empty()) {
        return;
    }
    const ggml_tensor * first = graph->nodes[nodes.front()];
    const int32_t layer = graph_.first_layer();
    const ggml_hash_set & set = graph->visited_hash_set;
    const bool goes_on = last_layer_ >= 0 && layer > last_layer_ && set.size > 0 && set.keys == evaluation_.keys &&
                         ggml_hash_contains(&set, const_cast<ggml_tensor *>(evaluation_.first)) &&
                         evaluation_.first->op == GGML_OP_FLASH_ATTN_EXT &&
                         layer_of_keys(evaluation_.first->src[1]) == evaluation_.layer;
    last_layer_ = graph_.last_layer();
    if (!goes_on) {
        works_.clear();
        ubatches_.clear();
        evaluation_.keys = set.keys;
        evaluation_.first = first;
        evaluation_.layer = layer;
        evaluation_.has_rules = false;
        graph_.begin_evaluation();
        evaluation_.learned.clear();
        ++n_idle_;
    }
}

// The end of graph_.attention(): all of its nodes are too small.
std::vector<int>::const_iterator proxy_evaluator::first_of_ours(const ggml_cgraph * graph) const {
    const std::vector<int> & nodes = graph_.attention();
    if (graph_.most_rows() < settings_.min_rows() || graph_.most_keys() < settings_.min_keys()) {
        return nodes.end();
    }
    return std::find_if(nodes.begin(), nodes.end(), [&](int i) { return too_small(graph->nodes[i]) == nullptr; });
}

// Why a node is not worth handing over; null if it is.
const char * proxy_evaluator::too_small(const ggml_tensor * node) const {
    if (node->src[0]->ne[1] < settings_.min_rows()) {
        return "rows";
    }
    return node->src[1]->ne[1] < settings_.min_keys() ? "keys" : nullptr;
}

// False: strict mode forbids the evaluation.
bool proxy_evaluator::plan_steps(const ggml_cgraph * graph, const std::vector<int> & nodes) {
    if (!evaluation_.has_rules) {
        rules_.begin();
        rules_.check_plan(graph, executor_->kernel());
        evaluation_.has_rules = true;
    }
    graph_.keep_positions(graph, graph->nodes[nodes.front()]);
    learn_cells(graph, graph_.masks());
    for (const int i : nodes) {
        if (const char * reason = too_small(graph->nodes[i])) {
            pass_on_node(reason);
        } else if (!plan_step(graph, i)) {
            return false;
        }
    }
    return true;
}

bool proxy_evaluator::plan_step(const ggml_cgraph * graph, int index) {
    const ggml_tensor * node = graph->nodes[index];
    const int32_t layer = layer_of_keys(node->src[1]);
    const layer_rule rule = rules_.rule_of(layer, node->src[0]->ne[2]);
    const auto leave = [&](const char * reason, const char * why = "") {
        pass_on_node(reason, why);
        return rules_.permits_exact(layer, rule, reason);
    };
    if (const auto reason = why_declined(node, 1)) {
        return leave(to_string(*reason));
    }
    auto view = std::make_unique<fattn_view>(node);
    view->args.dense_head = rule.dense_head();
    if (const auto reason = without_runs(*view, layer)) {
        return leave(to_string(*reason));
    }
    attention_args without_mask = view->args;
    without_mask.mask = nullptr;
    if (const char * why = executor_->declines(without_mask)) {
        return leave("kernel", why);
    }
    const classified & ubatch = classify(graph, node, *view);
    // The kernels take rows in runs only, so one masked row leaves the whole node to the wrapped backend.
    if (!rules_.permits(layer, rule, ubatch.found, 1)) {
        return false;
    }
    if (!ubatch.found.masked.empty()) {
        pass_on_node(to_string(ubatch.found.masked.front().reason));
        statistics_.passed_on_pairs(
            layer, count_pairs(ubatch.found, make_segments(ubatch.found, {}), shape_of_node(without_mask)));
        return true;
    }
    view->args = without_mask;
    const prepared * how = prepare(ubatch, rule, view->args);
    if (how == nullptr) {
        return rules_.permits_exact(layer, rule, "device");
    }
    steps_.push_back({index, layer, std::move(view), rule, how});
    return true;
}

const proxy_evaluator::classified & proxy_evaluator::classify(const ggml_cgraph * graph, const ggml_tensor * node,
                                                              const fattn_view & view) {
    const attention_args & args = view.args;
    const auto known = std::find_if(ubatches_.begin(), ubatches_.end(), [&](const classified & each) {
        return each.mask == node->src[3] && each.n_stream == args.n_batch && each.n_rows == args.n_q &&
               each.n_kv == args.n_kv;
    });
    if (known != ubatches_.end()) {
        return *known;
    }
    const auto start = std::chrono::steady_clock::now();
    classified & now = ubatches_.emplace_back();
    now.mask = node->src[3];
    now.n_stream = args.n_batch;
    now.n_rows = args.n_q;
    now.n_kv = args.n_kv;
    now.inputs = graph_.inputs_now(graph, node, view);
    const graph_inputs & inputs = now.inputs;
    if (inputs.missing) {
        now.found = all_masked(args.n_batch, args.n_q, *inputs.missing);
    } else {
        const auto & [identity, keys, watch, cells] = cache_of(graph, node);  // learn_cells() was here first
        const int64_t mask_bytes = args.n_batch * args.n_q * args.n_kv * static_cast<int64_t>(sizeof(uint16_t));
        std::optional<ubatch_runs> sampled;
        if (mask_bytes >= limits_.deferred_mask_bytes && !read_masks_first_) {
            sampled = find_runs_sampled(inputs.view, cells, keys);
        }
        if (sampled) {
            now.found = std::move(*sampled);
            now.check = std::make_unique<mask_check>(inputs.view, now.found, n_threads_);
        } else {
            now.found = find_runs(inputs.view, cells, keys, n_threads_);
        }
    }
    statistics_.classified({&now.found, seconds_since(start)});
    return now;
}

const proxy_evaluator::prepared * proxy_evaluator::prepare(const classified & ubatch, const layer_rule & rule,
                                                           const attention_args & args) {
    const auto known = std::find_if(works_.begin(), works_.end(), [&](const prepared & each) {
        return each.ubatch == &ubatch && each.rule.id() == rule.id() && same_shape(each.shape, args);
    });
    if (known != works_.end()) {
        return usable(*known);
    }
    prepared & now = works_.emplace_back();
    now.ubatch = &ubatch;
    now.rule = rule;
    now.shape = args;
    now.segments = make_segments(ubatch.found, rule);
    std::optional<selection_request> selection;
    if (rule.selection() != nullptr) {
        now.marks = selected_marks(now.segments, rule);
        selection = request_of(rule, now.marks);
        now.selected = pairs_ahead(*selection, args, now.segments);
    }
    limit_scratch();
    now.made = executor_->prepare(args, now.segments, selection ? &*selection : nullptr, now.work);
    note_scratch();
    return usable(now);
}

// A failure holds for the evaluation: without memory the next layer would only fail again, and slowly.
const proxy_evaluator::prepared * proxy_evaluator::usable(const prepared & how) {
    if (how.made.ok()) {
        return &how;
    }
    pass_on_node(failure_name(how.made), how.made.message());
    return nullptr;
}

// What is known of the node's key cache.
known_cache & proxy_evaluator::cache_of(const ggml_cgraph * graph, const ggml_tensor * node) {
    return caches_.of(key_cache(node->src[1]), graph_.inputs_of(graph, node).rotary);
}

// Whoever computes the attention, and whatever becomes of the rows: what the cells hold now is known here. `nodes`: of
// graph_.masks(). Layers that share a mask share the cells.
void proxy_evaluator::learn_cells(const ggml_cgraph * graph, const std::vector<int> & nodes) {
    try {
        for (const int i : nodes) {
            const ggml_tensor * node = graph->nodes[i];
            std::vector<const ggml_tensor *> & learned = evaluation_.learned;
            if (std::find(learned.begin(), learned.end(), node->src[3]) == learned.end()) {
                learned.push_back(node->src[3]);
                learn_cells_of(graph, node);
            }
        }
    } catch (const std::bad_alloc &) {
        caches_ = {};  // what could not be noted has replaced any of it; the evaluation itself is none the worse
    }
}

void proxy_evaluator::learn_cells_of(const ggml_cgraph * graph, const ggml_tensor * node) {
    graph_.keep_positions(graph, node);
    const fattn_view view(node);
    learn_inputs(graph_.inputs_of(graph, node), graph_.inputs_now(graph, node, view), cache_of(graph, node));
}

// Other contexts' part counts, too.
void proxy_evaluator::limit_scratch() {
    cuda_scratch_limit mine = limits_.scratch;
    mine.most_bytes -= held_.load(std::memory_order_relaxed) - noted_scratch_;
    executor_->limit_scratch(mine);
}

void proxy_evaluator::note_scratch() {
    const int64_t now = executor_ != nullptr ? executor_->scratch_bytes() : 0;
    if (now != noted_scratch_) {
        held_.fetch_add(now - noted_scratch_, std::memory_order_relaxed);
        statistics_.scratch_changed(now - noted_scratch_);
        noted_scratch_ = now;
    }
}

// While a device still computes our last call this does nothing, and the next evaluation asks again.
void proxy_evaluator::release_idle_scratch() {
    if (noted_scratch_ == 0 || n_idle_ < limits_.idle_evaluations) {
        return;
    }
    steps_.clear();
    works_.clear();
    if (executor_->release_scratch()) {
        n_idle_ = 0;
        note_scratch();
    }
}

// Nodes before `passed` are enqueued.
ggml_status proxy_evaluator::run_steps(ggml_cgraph * graph, int passed) {
    n_idle_ = steps_.empty() ? n_idle_ : 0;
    for (const step & now : steps_) {
        ggml_status result = pass_on(graph, passed, now.node);
        if (result != GGML_STATUS_SUCCESS) {
            return result;
        }
        const auto start = std::chrono::steady_clock::now();
        const status ours = run_step(now);
        if (ours.ok()) {
            statistics_.computed(describe_node(now.view->args, now.layer, now.rule, now.how->ubatch->found,
                                               now.how->segments, now.how->selected, seconds_since(start)));
        } else {
            pass_on_node(failure_name(ours), ours.message());
            if (!rules_.permits_exact(now.layer, now.rule, failure_name(ours))) {
                return GGML_STATUS_FAILED;
            }
            result = pass_on(graph, now.node, now.node + 1);
            if (result != GGML_STATUS_SUCCESS) {
                return result;
            }
        }
        passed = now.node + 1;
    }
    return pass_on(graph, passed, graph->n_nodes);
}

status proxy_evaluator::run_step(const step & now) {
    if (ready_ == nullptr || done_ == nullptr) {
        ggml_backend_synchronize(wrapped_);
        status result = executor_->forward(now.view->args, now.how->work);
        const status finished = executor_->synchronize();
        return result.ok() ? finished : result;
    }
    wrapped_->iface.event_record(wrapped_, ready_.get());
    status result = executor_->wait_for(ready_.get());
    if (result.ok()) {
        result = executor_->forward(now.view->args, now.how->work);
    }
    // After a failure too: what was enqueued before it must be over before others write the same memory.
    const status recorded = executor_->record(done_.get());
    if (recorded.ok()) {
        wrapped_->iface.event_wait(wrapped_, done_.get());
    } else {
        static_cast<void>(executor_->synchronize());
    }
    return result.ok() ? recorded : result;
}

ggml_status proxy_evaluator::pass_on(ggml_cgraph * graph, int begin, int end) {
    if (std::all_of(graph->nodes + begin, graph->nodes + end, computes_nothing)) {
        return GGML_STATUS_SUCCESS;
    }
    ggml_cgraph view = ggml_graph_view(graph, begin, end);
    return ggml_backend_graph_compute_async(wrapped_, &view);
}

bool proxy_evaluator::masks_confirmed() {
    bool confirmed = true;
    for (classified & each : ubatches_) {
        if (each.check != nullptr && !each.check->passed()) {
            confirmed = false;
        }
    }
    if (!confirmed) {
        read_masks_first_ = true;
        last_layer_ = -1;
        statistics_.fell_back("mask_not_as_sampled");
        GGML_LOG_ERROR(
            "TriangleMix: %s: an attention mask is irregular in a way that its samples did not show, so this "
            "evaluation "
            "is void; from now on this context reads every mask whole before it computes. Repeat the prompt\n",
            device_.c_str());
    }
    return confirmed;
}

void proxy_evaluator::pass_on_node(const char * reason, const char * why) {
    const std::string text = *why != '\0' ? std::string(reason) + ": " + why : reason;
    if (statistics_.passed_on(text) && *why != '\0') {
        GGML_LOG_WARN("TriangleMix: %s: attention is left to the wrapped device (%s)\n", device_.c_str(), text.c_str());
    }
}

}  // namespace tmx
