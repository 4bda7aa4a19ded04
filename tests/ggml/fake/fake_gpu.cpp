#include "fake_gpu.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "fake_block.h"
#include "mask_rows_oracle.h"

namespace tmx::test {
namespace {

struct fake_backend {
    fake_gpu * gpu = nullptr;
    ggml_backend_t cpu = nullptr;
    std::unique_ptr<task_queue> queue;
};

fake_gpu & gpu_of(ggml_backend_dev_t device) {
    return *static_cast<fake_gpu *>(device->context);
}

fake_backend & state_of(ggml_backend_t backend) {
    return *static_cast<fake_backend *>(backend->context);
}

fake_event & event_of(ggml_backend_event_t event) {
    return *static_cast<fake_event *>(event->context);
}

const char * fake_name(ggml_backend_t backend) {
    return state_of(backend).gpu->name();
}

void fake_free(ggml_backend_t backend) {
    fake_backend & state = state_of(backend);
    state.queue.reset();
    ggml_backend_free(state.cpu);
    delete &state;
    delete backend;
}

void fake_set_async(ggml_backend_t backend, ggml_tensor * tensor, const void * data, size_t offset, size_t size) {
    std::vector<char> copy(static_cast<const char *>(data), static_cast<const char *>(data) + size);
    char * target = static_cast<char *>(tensor->data) + offset;
    state_of(backend).queue->push([copy, target] { std::memcpy(target, copy.data(), copy.size()); });
}

void fake_get_async(ggml_backend_t backend, const ggml_tensor * tensor, void * data, size_t offset, size_t size) {
    const char * source = static_cast<const char *>(tensor->data) + offset;
    state_of(backend).queue->push([data, source, size] { std::memcpy(data, source, size); });
}

bool fake_copy_async(ggml_backend_t from, ggml_backend_t to, const ggml_tensor *, ggml_tensor *) {
    state_of(to).gpu->copies.emplace_back(from, to);
    return false;
}

void fake_synchronize(ggml_backend_t backend) {
    state_of(backend).queue->drain();
}

ggml_status fake_compute(ggml_backend_t backend, ggml_cgraph * graph) {
    fake_backend & state = state_of(backend);
    const bool has_attention = std::any_of(graph->nodes, graph->nodes + graph->n_nodes,
                                           [](const ggml_tensor * node) { return node->op == GGML_OP_FLASH_ATTN_EXT; });
    state.gpu->graphs.push_back({graph, graph->n_nodes, graph->nodes[0], *graph->nodes[0], graph->uid, has_attention});
    // A device keeps nothing of the caller's graph but what its kernels were given: here the list of nodes.
    auto nodes = std::make_shared<std::vector<ggml_tensor *>>(graph->nodes, graph->nodes + graph->n_nodes);
    state.queue->push([cpu = state.cpu, nodes, copy = *graph]() mutable {
        copy.nodes = nodes->data();
        ggml_backend_graph_compute(cpu, &copy);
    });
    return GGML_STATUS_SUCCESS;
}

void fake_event_record(ggml_backend_t backend, ggml_backend_event_t event) {
    event_of(event).record_on(*state_of(backend).queue);
}

void fake_event_wait(ggml_backend_t backend, ggml_backend_event_t event) {
    event_of(event).hold(*state_of(backend).queue);
}

// Since ggml 0.22 with parameters behind the graph.
template <typename... parameters>
void fake_optimize(ggml_backend_t backend, ggml_cgraph *, parameters...) {
    state_of(backend).gpu->n_optimized++;
}

ggml_guid_t fake_guid() {
    static ggml_guid guid = {'f', 'a', 'k', 'e', ' ', 'g', 'p', 'u', 0, 0, 0, 0, 0, 0, 0, 1};
    return &guid;
}

ggml_backend_t fake_init(ggml_backend_dev_t device, const char *) {
    fake_gpu & gpu = gpu_of(device);
    const bool events = gpu.options().events;
    auto * state = new fake_backend{&gpu, ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr),
                                    std::make_unique<task_queue>(gpu.options().asynchronous)};
    return new ggml_backend{.guid = fake_guid(),
                            .iface = {.get_name = fake_name,
                                      .free = fake_free,
                                      .set_tensor_async = fake_set_async,
                                      .get_tensor_async = fake_get_async,
                                      .set_tensor_2d_async = nullptr,
                                      .get_tensor_2d_async = nullptr,
                                      .cpy_tensor_async = fake_copy_async,
                                      .synchronize = fake_synchronize,
                                      .graph_plan_create = nullptr,
                                      .graph_plan_free = nullptr,
                                      .graph_plan_update = nullptr,
                                      .graph_plan_compute = nullptr,
                                      .graph_compute = fake_compute,
                                      .event_record = events ? fake_event_record : nullptr,
                                      .event_wait = events ? fake_event_wait : nullptr,
                                      .graph_optimize = fake_optimize},
                            .device = device,
                            .context = state};
}

ggml_backend_dev_t cpu_device() {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
}

// CPU buffers under another type's name: the CPU's own functions take the type they are asked for.
ggml_backend_buffer_t fake_alloc(ggml_backend_buffer_type_t type, size_t size) {
    return ggml_backend_cpu_buffer_type()->iface.alloc_buffer(type, size);
}

ggml_backend_event_t fake_event_new(ggml_backend_dev_t device) {
    return gpu_of(device).options().events ? new ggml_backend_event{.device = device, .context = new fake_event}
                                           : nullptr;
}

void fake_event_free(ggml_backend_dev_t, ggml_backend_event_t event) {
    delete &event_of(event);
    delete event;
}

// Files may be mapped since ggml 0.20.
template <typename capabilities>
void set_capabilities(capabilities & caps, bool events) {
    caps = {};
    caps.async = true;
    caps.events = events;
    if constexpr (requires { caps.mmap_support; }) {
        caps.mmap_support = true;
    }
}

constexpr ggml_backend_device_i k_device = {
    .get_name = [](ggml_backend_dev_t device) { return gpu_of(device).name(); },
    .get_description = [](ggml_backend_dev_t) { return "fake GPU"; },
    .get_memory =
        [](ggml_backend_dev_t, size_t * free, size_t * total) {
            *free = size_t{3} << 30;
            *total = size_t{4} << 30;
        },
    .get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; },
    .get_props =
        [](ggml_backend_dev_t device, ggml_backend_dev_props * props) {
            props->name = gpu_of(device).name();
            props->description = "fake GPU";
            props->memory_free = size_t{3} << 30;
            props->memory_total = size_t{4} << 30;
            props->type = GGML_BACKEND_DEVICE_TYPE_GPU;
            props->device_id = gpu_of(device).id();
            set_capabilities(props->caps, gpu_of(device).options().events);
        },
    .init_backend = fake_init,
    .get_buffer_type = [](ggml_backend_dev_t device) { return gpu_of(device).buffer_type(); },
    .get_host_buffer_type =
        [](ggml_backend_dev_t device) {
            return gpu_of(device).options().host_memory ? ggml_backend_cpu_buffer_type() : nullptr;
        },
    .buffer_from_host_ptr = nullptr,
    .supports_op = [](ggml_backend_dev_t,
                      const ggml_tensor * op) { return ggml_backend_dev_supports_op(cpu_device(), op); },
    .supports_buft = [](ggml_backend_dev_t device,
                        ggml_backend_buffer_type_t type) { return type == gpu_of(device).buffer_type(); },
    .offload_op = [](ggml_backend_dev_t, const ggml_tensor * op) { return op->ne[1] >= 32; },
    .event_new = fake_event_new,
    .event_free = fake_event_free,
    .event_synchronize = [](ggml_backend_dev_t, ggml_backend_event_t event) { event_of(event).wait(); },
};

// All else is null, of which there is more since ggml 0.26.
ggml_backend_buffer_type_i buffer_type_interface() {
    ggml_backend_buffer_type_i made{};
    made.get_name = [](ggml_backend_buffer_type_t type) { return gpu_of(type->device).name(); };
    made.alloc_buffer = fake_alloc;
    made.get_alignment = [](ggml_backend_buffer_type_t) {
        return ggml_backend_buft_get_alignment(ggml_backend_cpu_buffer_type());
    };
    return made;
}

// Segments and head lists that outlive the caller's.
struct cpu_work {
    std::vector<attention_segment> segments;
    std::deque<std::vector<int32_t>> cells;
    std::vector<uint8_t> dense_head;
    std::vector<uint8_t> selected;
    std::vector<selection_rule> rules;
    std::vector<int32_t> rule_of_head;
    std::optional<selection_request> selection;  // of the three before

    void copy(const selection_request & request) {
        selected.assign(request.selected.begin(), request.selected.end());
        rules.assign(request.heads.rules.begin(), request.heads.rules.end());
        rule_of_head.assign(request.heads.of_head.begin(), request.heads.of_head.end());
        selection = request;
        selection->selected = selected;
        selection->heads.rules = rules;
        selection->heads.of_head = rule_of_head;
    }
};

// What calls kept, once they are computed.
class kept_by_calls {
  public:
    void add(kept_by_call kept) {
        const std::lock_guard lock(mutex_);
        done_.push_back(std::move(kept));
    }
    std::vector<kept_by_call> take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(done_, {});
    }

  private:
    std::mutex mutex_;
    std::vector<kept_by_call> done_;
};

class cpu_executor final : public attention_executor {
  public:
    cpu_executor(bool asynchronous, executor_faults * faults) : faults_(faults), queue_(asynchronous) {}

    const char * kernel() const override { return "cpu"; }

    const char * declines(const attention_args & args) const override {
        if (args.mask != nullptr) {
            return "mask";
        }
        if (faults_ != nullptr && faults_->features != nullptr) {
            const auto mismatch = first_mismatch(*faults_->features, needs_of(args));
            return mismatch ? mismatch->text : faults_->declines;
        }
        return faults_ != nullptr ? faults_->declines : nullptr;
    }

    status prepare(const attention_args & args, std::span<const attention_segment> segments,
                   const selection_request * selection, std::shared_ptr<const void> & work) override {
        if (faults_ != nullptr && !faults_->prepare.ok()) {
            faults_->n_refused++;
            return faults_->prepare;
        }
        if (faults_ != nullptr && faults_->no_selection && selection != nullptr) {
            return status::error(status_code::unsupported, "no form of that method");
        }
        if (faults_ != nullptr && faults_->scratch_needed > scratch_) {
            if (faults_->scratch_needed > limit_.allows(faults_->memory_free, scratch_)) {
                return status::error(status_code::out_of_memory, "scratch memory is at its limit");
            }
            scratch_ = faults_->scratch_needed;
        }
        auto made = std::make_shared<cpu_work>();
        made->segments.assign(segments.begin(), segments.end());
        for (attention_segment & segment : made->segments) {
            if (segment.cells != nullptr) {
                const int64_t n = segment.rank_begin + segment.row_end - segment.row_begin;
                segment.cells = made->cells.emplace_back(segment.cells, segment.cells + n).data();
            }
        }
        if (args.dense_head != nullptr) {
            made->dense_head.assign(args.dense_head, args.dense_head + args.n_head);
        }
        if (selection != nullptr) {
            made->copy(*selection);
        }
        work = std::move(made);
        if (faults_ != nullptr) {
            faults_->n_prepared++;
        }
        return {};
    }

    status forward(const attention_args & args, const std::shared_ptr<const void> & work, uint64_t & call) override {
        if (faults_ != nullptr) {
            if (!faults_->forward.ok()) {
                return faults_->forward;
            }
            faults_->n_forwarded++;
        }
        const bool selects = static_cast<const cpu_work *>(work.get())->selection.has_value();
        call = selects && (faults_ == nullptr || !faults_->counts_nothing) ? ++n_calls_ : 0;
        queue_.push([this, args, work, call] {
            const auto & made = *static_cast<const cpu_work *>(work.get());
            attention_args late = args;
            late.dense_head = made.dense_head.empty() ? nullptr : made.dense_head.data();
            std::vector<int64_t> kept(made.selection ? made.selection->n_sums() : 0);
            const status computed =
                made.selection ? selected_attention_forward(*made.selection, late, made.segments, context_, kept.data())
                               : attention_forward(late, made.segments, context_);
            if (call != 0) {
                kept_.add({call, std::move(kept)});
            }
            if (!computed.ok()) {
                std::memset(late.out, 0xff, sizeof(float));  // NaN
            }
        });
        return {};
    }

    const char * declines(const feed_forward_args &) const override {
        return faults_ != nullptr ? faults_->declines_blocks : nullptr;
    }

    status forward(const feed_forward_args & args) override {
        if (faults_ != nullptr) {
            if (!faults_->block.ok()) {
                return faults_->block;
            }
            faults_->n_blocks++;
        }
        queue_.push([args] { compute_block(args); });
        return {};
    }

    std::vector<kept_by_call> take_kept() override { return kept_.take(); }

    status compare_mask_rows(const device_mask & mask, std::span<const int32_t> cells,
                             std::span<uint8_t> found) override {
        if (faults_ != nullptr) {
            if (!faults_->compare.ok()) {
                return faults_->compare;
            }
            faults_->n_compared++;
        }
        expected_mask_rows(mask, cells, found);
        return {};
    }

    status wait_for(void * event) override {
        static_cast<fake_event *>(event)->hold(queue_);
        return {};
    }

    status record(void * event) override {
        static_cast<fake_event *>(event)->record_on(queue_);
        return {};
    }

    status synchronize() override {
        queue_.drain();
        return {};
    }

    void limit_scratch(const cuda_scratch_limit & limit) override { limit_ = limit; }
    int64_t scratch_bytes() const override { return scratch_; }
    bool release_scratch() override {
        const bool idle = faults_ == nullptr || !faults_->busy;
        scratch_ = idle ? 0 : scratch_;
        return idle;
    }

  private:
    executor_faults * faults_;
    cuda_scratch_limit limit_;
    int64_t scratch_ = 0;
    cpu_context context_;
    uint64_t n_calls_ = 0;
    kept_by_calls kept_;
    task_queue queue_;  // last: its tasks use the others
};

}  // namespace

task_queue::task_queue(bool asynchronous) {
    if (asynchronous) {
        thread_ = std::thread([this] { run(); });
    }
}

task_queue::~task_queue() {
    if (thread_.joinable()) {
        {
            const std::lock_guard lock(mutex_);
            ending_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }
}

void task_queue::push(std::function<void()> task) {
    if (!thread_.joinable()) {
        task();
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        tasks_.push_back(std::move(task));
    }
    changed_.notify_all();
}

void task_queue::drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return tasks_.empty() && !busy_; });
}

void task_queue::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return !tasks_.empty() || ending_; });
        if (tasks_.empty()) {
            return;
        }
        const std::function<void()> task = std::move(tasks_.front());
        tasks_.pop_front();
        busy_ = true;
        lock.unlock();
        std::this_thread::sleep_for(std::chrono::microseconds(300));  // late enough to be missed by who does not wait
        task();
        lock.lock();
        busy_ = false;
        changed_.notify_all();
    }
}

void fake_event::record_on(task_queue & queue) {
    uint64_t mark = 0;
    {
        const std::lock_guard lock(marks_->mutex);
        mark = ++marks_->asked;
    }
    queue.push([marks = marks_, mark] {
        const std::lock_guard lock(marks->mutex);
        marks->reached = std::max(marks->reached, mark);
        marks->changed.notify_all();
    });
}

void fake_event::hold(task_queue & queue) {
    uint64_t mark = 0;
    {
        const std::lock_guard lock(marks_->mutex);
        mark = marks_->asked;
    }
    queue.push([marks = marks_, mark] {
        std::unique_lock lock(marks->mutex);
        marks->changed.wait(lock, [&] { return marks->reached >= mark; });
    });
}

void fake_event::wait() {
    std::unique_lock lock(marks_->mutex);
    marks_->changed.wait(lock, [this] { return marks_->reached >= marks_->asked; });
}

fake_gpu::fake_gpu(fake_gpu_options options)
    : options_(options),
      name_("FAKE" + std::to_string(options.number)),
      id_("0000:00:fa." + std::to_string(options.number)),
      registry_{.api_version = GGML_BACKEND_API_VERSION,
                .iface = {.get_name = [](ggml_backend_reg_t) { return "FAKE"; },
                          .get_device_count = [](ggml_backend_reg_t) { return size_t{1}; },
                          .get_device = nullptr,
                          .get_proc_address = options.sums ? &fake_sums_address : nullptr},
                .context = this},
      device_{.iface = k_device, .reg = &registry_, .context = this},
      buffer_type_{.iface = buffer_type_interface(), .device = &device_, .context = nullptr} {
    copies.reserve(size_t{1} << 16);  // as a device's own, a copy allocates nothing
}

std::unique_ptr<attention_executor> make_cpu_executor(bool asynchronous, executor_faults * faults) {
    return std::make_unique<cpu_executor>(asynchronous, faults);
}

proxy_candidate candidate_for(fake_gpu & gpu, executor_faults * faults) {
    return {.device = gpu.device(),
            .type = GGML_BACKEND_DEVICE_TYPE_GPU,
            .name = "TriangleMix" + std::to_string(gpu.options().number),
            .kernel = "cpu",
            .make_executor =
                [asynchronous = gpu.options().asynchronous, faults](std::unique_ptr<attention_executor> & executor) {
                    executor = make_cpu_executor(asynchronous, faults);
                    return status();
                },
            .pinned = [](const void * data) { return data != nullptr; }};
}

}  // namespace tmx::test
