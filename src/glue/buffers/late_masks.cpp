#include "glue/buffers/late_masks.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <string_view>

#include "glue/backend_common.h"
#include "glue/buffers/input_writes.h"
#include "glue/graph_tensors.h"

namespace tmx {
namespace {

struct waiting_masks {
    std::mutex mutex;
    std::vector<late_masks::held> all;  // a few: one or two for each context
    std::atomic<size_t> n{0};           // asked without the lock, by every write of every input

    // REQUIRES the lock is held.
    void note() { n.store(all.size(), std::memory_order_release); }
};

// Never destroyed: buffers may be freed at the very end of the process.
waiting_masks & waiting() {
    static auto & masks = *new waiting_masks;
    return masks;
}

// A copy that the scheduler made of a mask: it has another name than the original.
bool is_copy_of_mask(const ggml_tensor * tensor) {
    const std::string_view original = original_name(tensor);
    return original.size() < std::string_view(tensor->name).size() && original.starts_with("attn_inp_kq_mask");
}

bool reads(const ggml_tensor * node, const late_masks::held & mask) {
    return std::any_of(node->src, node->src + GGML_MAX_SRC,
                       [&](const ggml_tensor * each) { return each != nullptr && mask.is(each); });
}

// Whether it reads all of the mask as a mask, and nothing else of it.
bool attends_by(const ggml_tensor * node, const late_masks::held & mask) {
    const ggml_tensor * read = node->src[3];
    return node->op == GGML_OP_FLASH_ATTN_EXT && read != nullptr && read->view_src == nullptr && mask.is(read) &&
           ggml_nbytes(read) == ggml_nbytes(&mask.tensor) &&
           std::none_of(node->src, node->src + GGML_MAX_SRC,
                        [&](const ggml_tensor * each) { return each != nullptr && each != read && mask.is(each); });
}

// Whether only attention nodes of this graph read it. The whole graph's nodes are in the hash set; where they are not,
// nobody knows.
bool only_attention_here(const ggml_cgraph * graph, const late_masks::held & mask) {
    int n_here = 0;
    for (int i = 0; i < graph->n_nodes; ++i) {
        const ggml_tensor * node = graph->nodes[i];
        if (computes_nothing(node) || !reads(node, mask)) {
            continue;
        }
        if (!attends_by(node, mask)) {
            return false;
        }
        ++n_here;
    }
    int n_anywhere = 0;
    for_each_tensor(
        graph, [&](const ggml_tensor * tensor) { n_anywhere += !computes_nothing(tensor) && reads(tensor, mask); });
    return n_here > 0 && n_anywhere == n_here;
}

}  // namespace

bool late_masks::held::is(const ggml_tensor * t) const {
    const ggml_tensor * whole = t->view_src != nullptr ? t->view_src : t;
    return whole->data == tensor.data && (whole == written || std::strcmp(whole->name, tensor.name) == 0);
}

bool hold_mask(ggml_backend_buffer_t buffer, const ggml_tensor * tensor, const void * data, size_t offset, size_t size,
               const mask_patience & patience, const ggml_backend_buffer_i & theirs) noexcept {
    if (patience.stays == nullptr || size < static_cast<size_t>(patience.least_bytes) || offset != 0 ||
        size != ggml_nbytes(tensor) || buffer->usage != GGML_BACKEND_BUFFER_USAGE_COMPUTE || !is_graph_input(tensor) ||
        !is_copy_of_mask(tensor)) {
        return false;
    }
    try {
        if (!(*patience.stays)(data)) {
            return false;
        }
        waiting_masks & masks = waiting();
        const std::lock_guard lock(masks.mutex);
        std::erase_if(masks.all, [&](const late_masks::held & each) { return each.tensor.data == tensor->data; });
        masks.all.push_back({*tensor, tensor, data, theirs.set_tensor});
        masks.all.back().tensor.buffer = buffer;
        masks.note();
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

void send_mask_of(const ggml_tensor * tensor) noexcept {
    waiting_masks & masks = waiting();
    if (masks.n.load(std::memory_order_acquire) == 0) {
        return;
    }
    const std::lock_guard lock(masks.mutex);
    std::erase_if(masks.all, [&](late_masks::held & each) {
        const bool meant = each.is(tensor);
        if (meant) {
            each.send();
        }
        return meant;
    });
    masks.note();
}

void forget_masks_of(ggml_backend_buffer_t buffer) noexcept {
    waiting_masks & masks = waiting();
    const std::lock_guard lock(masks.mutex);
    const auto * begin = static_cast<const std::byte *>(ggml_backend_buffer_get_base(buffer));
    const std::byte * end = begin + ggml_backend_buffer_get_size(buffer);
    std::erase_if(masks.all, [&](const late_masks::held & each) {
        const auto * at = static_cast<const std::byte *>(each.tensor.data);
        return each.tensor.buffer == buffer || (begin <= at && at < end);
    });
    masks.note();
}

void late_masks::take(const ggml_cgraph * graph) {
    waiting_masks & masks = waiting();
    if (masks.n.load(std::memory_order_acquire) == 0) {
        return;
    }
    {
        const std::lock_guard lock(masks.mutex);
        const auto is_read = [&](const held & mask) {
            return std::any_of(graph->nodes, graph->nodes + graph->n_nodes,
                               [&](const ggml_tensor * node) { return reads(node, mask); });
        };
        const auto others = std::stable_partition(masks.all.begin(), masks.all.end(), std::not_fn(is_read));
        held_.insert(held_.end(), others, masks.all.end());
        masks.all.erase(others, masks.all.end());
        masks.note();
    }
    std::erase_if(held_, [&](held & mask) {
        const bool needed = !only_attention_here(graph, mask);
        if (needed) {
            mask.send();
        }
        return needed;
    });
}

void late_masks::settle(const ggml_cgraph * graph, const std::vector<int> & ours) {
    std::erase_if(held_, [&](held & mask) {
        for (int i = 0; i < graph->n_nodes; ++i) {
            const ggml_tensor * node = graph->nodes[i];
            if (!computes_nothing(node) && reads(node, mask) && !std::binary_search(ours.begin(), ours.end(), i)) {
                mask.send();
                return true;
            }
        }
        return false;
    });
}

void late_masks::send() noexcept {
    for (held & mask : held_) {
        mask.send();
    }
    held_.clear();
}

size_t late_masks::drop() noexcept {
    const size_t n = held_.size();
    held_.clear();
    return n;
}

}  // namespace tmx
