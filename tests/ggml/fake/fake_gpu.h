// A "GPU" without hardware, to put a proxy in front of: its memory is not the host's as far as ggml is told, so inputs
// are copied to it as to a real one; its backend runs ggml's CPU backend from a queue of its own, in order, behind the
// caller's back; and its events order such queues. Whoever forgets to wait computes with old data.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "glue/abi.h"
#include "glue/proxy/proxy_candidates.h"
#include "trianglemix/kernel_features.h"

namespace tmx::test {

// Tasks run one after the other on one thread, or at once if it is not asynchronous.
class task_queue {
  public:
    explicit task_queue(bool asynchronous);
    ~task_queue();
    task_queue(const task_queue &) = delete;
    task_queue & operator=(const task_queue &) = delete;

    void push(std::function<void()> task);
    void drain();

  private:
    void run();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> tasks_;
    bool busy_ = false;
    bool ending_ = false;
    std::thread thread_;
};

// What an event of the fake device holds: marks set by one queue, waited for by another.
class fake_event {
  public:
    void record_on(task_queue & queue);
    void hold(task_queue & queue);  // later tasks of the queue wait for the last mark asked for so far
    void wait();

  private:
    // Shared with the tasks in the queues: as with CUDA's events, one may be freed while a task still waits for it.
    struct marks {
        std::mutex mutex;
        std::condition_variable changed;
        uint64_t asked = 0;
        uint64_t reached = 0;
    };
    std::shared_ptr<marks> marks_ = std::make_shared<marks>();
};

struct seen_graph {
    const ggml_cgraph * graph = nullptr;
    int n_nodes = 0;
    const ggml_tensor * first = nullptr;  // node, and what it was
    ggml_tensor first_was{};
    uint64_t uid = 0;
    bool has_attention = false;
};

struct fake_gpu_options {
    bool asynchronous = true;
    bool events = true;
    int number = 0;
    bool sums = true;          // its registry adds up what the devices of a tensor split computed
    bool host_memory = false;  // it has a type of host memory that it reads fast: the CPU's
};

class fake_gpu {
  public:
    explicit fake_gpu(fake_gpu_options options = {});
    fake_gpu(const fake_gpu &) = delete;
    fake_gpu & operator=(const fake_gpu &) = delete;

    ggml_backend_dev_t device() { return &device_; }
    ggml_backend_buffer_type_t buffer_type() { return &buffer_type_; }
    const fake_gpu_options & options() const { return options_; }
    const char * name() const { return name_.c_str(); }  // FAKE0
    const char * id() const { return id_.c_str(); }

    // What its backends were asked for.
    std::vector<seen_graph> graphs;
    std::vector<std::pair<ggml_backend_t, ggml_backend_t>> copies;  // cpy_tensor_async
    int n_optimized = 0;
    int n_sums = 0;

  private:
    fake_gpu_options options_;
    std::string name_;
    std::string id_;
    ggml_backend_reg registry_;
    ggml_backend_device device_;
    ggml_backend_buffer_type buffer_type_;
};

// What such a device's registry offers to a tensor split, as CUDA's does: sums over devices, of fakes only, since a
// proxy's backend is none.
void * fake_sums_address(ggml_backend_reg_t registry, const char * name);

// What the executor below is to do instead of computing.
struct executor_faults {
    const char * declines = nullptr;
    const kernel_features * features = nullptr;  // what its kernels cover; null: everything
    status prepare;
    bool no_selection = false;    // prepare() has no form of any method
    bool counts_nothing = false;  // nobody knows what selection keeps
    status forward;
    int n_prepared = 0;
    int n_refused = 0;  // prepare() failed
    int n_forwarded = 0;
    status compare;
    int n_compared = 0;                      // masks
    const char * declines_blocks = nullptr;  // feed-forward blocks
    status block;
    int n_blocks = 0;  // forward() of them
    // Device memory: what the next prepare() needs, what the device has besides, and whether it is busy for ever.
    int64_t scratch_needed = 0;
    int64_t memory_free = int64_t{3} << 30;
    bool busy = false;
};

// The project's CPU kernels as a GPU's, from a queue of their own that starts every task late.
std::unique_ptr<attention_executor> make_cpu_executor(bool asynchronous, executor_faults * faults = nullptr);

// A proxy for `gpu`, computing with the executor above.
proxy_candidate candidate_for(fake_gpu & gpu, executor_faults * faults = nullptr);

}  // namespace tmx::test
