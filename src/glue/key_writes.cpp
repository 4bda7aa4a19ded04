#include "glue/key_writes.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "glue/fattn_view.h"
#include "glue/graph_tensors.h"
#include "glue/rebuilt_inputs.h"

namespace tmx {
namespace {

// The lowest layer seen of the caches in each buffer. A buffer that is gone may leave its address to another one: then
// that one's layers are not taken if its first has a higher number, and the order of its keys stays uncertain.
class first_layers {
  public:
    // True: no lower layer was seen there.
    bool see(const void * buffer, int32_t layer) {
        const std::lock_guard lock(mutex_);
        const auto known =
            std::find_if(seen_.begin(), seen_.end(), [&](const first_layer & each) { return each.buffer == buffer; });
        if (known != seen_.end()) {
            known->layer = std::min(known->layer, layer);
            return known->layer == layer;
        }
        constexpr size_t k_most_buffers = 64;
        if (seen_.size() == k_most_buffers) {
            seen_.erase(seen_.begin());
        }
        seen_.push_back({buffer, layer});
        return true;
    }

  private:
    struct first_layer {
        const void * buffer;
        int32_t layer;
    };
    std::mutex mutex_;
    std::vector<first_layer> seen_;  // oldest first
};

first_layers & layers_seen() {
    static auto & all = *new first_layers;
    return all;
}

key_write find_key_write(const ggml_cgraph * graph, const ggml_tensor * set_rows, const rebuilt_inputs * rebuilt) {
    key_write write{.set_rows = set_rows, .attention = nullptr, .tensors = {}};
    for_each_tensor(graph, [&](const ggml_tensor * tensor) {
        if (tensor->op == GGML_OP_FLASH_ATTN_EXT && key_cache(tensor->src[1]) == set_rows->view_src) {
            write.attention = tensor;
        }
    });
    if (write.attention != nullptr && write.attention->src[3] != nullptr && !why_declined(write.attention, 1)) {
        write.tensors =
            rebuilt != nullptr ? rebuilt->of(write.attention) : find_inputs(graph, write.attention, nullptr);
    } else {
        write.attention = nullptr;
        write.tensors.own_cells = {set_rows->src[1]};
        write.tensors.rotary = went_through_rope(set_rows->src[0]);
    }
    return write;
}

void learn_key_write(const key_write & write, known_caches & caches) {
    known_cells & cells = caches.of(write.set_rows->view_src, write.tensors.rotary);
    if (write.attention == nullptr) {
        forget_rows(write.tensors, cells.table);
        return;
    }
    learn_inputs(write.tensors, read_inputs(write.tensors, write.attention, fattn_view(write.attention)), cells);
}

}  // namespace

bool claims_key_write(const ggml_tensor * op) {
    if (!writes_keys(op) || op->view_src->buffer == nullptr || !ggml_backend_buffer_is_host(op->view_src->buffer) ||
        op->src[1]->type != GGML_TYPE_I64) {
        return false;
    }
    return layers_seen().see(op->view_src->buffer, layer_of_keys(op));
}

key_writer::~key_writer() {
    ggml_backend_free(cpu_);
}

ggml_status key_writer::compute(ggml_cgraph * graph, int index, int n_threads) {
    if (cpu_ == nullptr) {
        cpu_ = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr);
        if (cpu_ == nullptr) {
            GGML_LOG_ERROR("TriangleMix: the host's CPU backend does not start\n");
            return GGML_STATUS_FAILED;
        }
        const ggml_backend_reg_t host = ggml_backend_dev_backend_reg(ggml_backend_get_device(cpu_));
        set_n_threads_ = reinterpret_cast<ggml_backend_set_n_threads_t>(
            ggml_backend_reg_get_proc_address(host, "ggml_backend_set_n_threads"));
    }
    if (set_n_threads_ != nullptr) {
        constexpr int64_t k_least_rows_for_threads = 64;  // fewer are copied before other threads have started
        const bool threads_pay = graph->nodes[index]->src[0]->ne[1] >= k_least_rows_for_threads;
        set_n_threads_(cpu_, threads_pay ? n_threads : 1);
    }
    ggml_cgraph view = nodes_of(graph, index, index + 1);
    return ggml_backend_graph_compute(cpu_, &view);
}

void key_write_reader::learn(const ggml_cgraph * graph, const ggml_tensor * set_rows, known_caches & caches,
                             const rebuilt_inputs * rebuilt) {
    if (rebuilt != nullptr) {
        return learn_key_write(find_key_write(graph, set_rows, rebuilt), caches);
    }
    constexpr size_t k_most_seen = 4;  // a model has one or two caches
    auto seen = std::find_if(seen_.begin(), seen_.end(), [&](const seen_write & each) {
        return graph->uid != 0 && each.graph_uid == graph->uid && each.found.set_rows == set_rows;
    });
    if (seen == seen_.end()) {
        if (seen_.size() == k_most_seen) {
            seen_.clear();
        }
        seen = seen_.insert(seen_.end(), {graph->uid, find_key_write(graph, set_rows, nullptr)});
    }
    learn_key_write(seen->found, caches);
}

}  // namespace tmx
