#include "glue/proxy/tensor_split.h"

#include <algorithm>
#include <utility>

#include "glue/graph_tensors.h"

namespace tmx {

void split_group::note(size_t device, int32_t layer, const heads & its) {
    std::vector<heads> & devices = layers_[layer];
    devices.resize(n_devices_);
    devices[device] = its;
}

std::optional<split_group::share> split_group::of(size_t device, int32_t layer) const {
    const auto known = layers_.find(layer);
    if (known == layers_.end() ||
        std::any_of(known->second.begin(), known->second.end(), [](const heads & each) { return each.n_head < 0; })) {
        return std::nullopt;
    }
    share found{.heads = {.first = 0, .n = known->second[device].n_head, .total = 0}, .n_head_kv = 0};
    for (size_t i = 0; i < n_devices_; ++i) {
        found.heads.first += i < device ? known->second[i].n_head : 0;
        found.heads.total += known->second[i].n_head;
        found.n_head_kv += known->second[i].n_head_kv;
    }
    return found;
}

void split_member::join(std::shared_ptr<split_group> group, size_t device) {
    group_ = std::move(group);
    device_ = device;
}

void split_member::note(const ggml_cgraph * graph) {
    for (int i = 0; group_ != nullptr && i < graph->n_nodes; ++i) {
        const ggml_tensor * node = graph->nodes[i];
        const int32_t layer = node->op == GGML_OP_FLASH_ATTN_EXT ? layer_of_keys(node->src[1]) : -1;
        if (layer >= 0) {
            group_->note(device_, layer, {.n_head = node->src[0]->ne[2], .n_head_kv = node->src[1]->ne[2]});
        }
    }
}

head_range split_member::heads_of(const ggml_tensor * node) const {
    const int64_t n = node->src[0]->ne[2];
    if (group_ == nullptr) {
        return head_range::all(n);
    }
    const auto share = group_->of(device_, layer_of_keys(node->src[1]));
    return share ? share->heads : head_range{.first = 0, .n = n, .total = -1};
}

model_shape split_member::whole(const model_shape & shown, const ggml_tensor * node) const {
    if (group_ == nullptr) {
        return shown;
    }
    const auto share = group_->of(device_, layer_of_keys(node->src[1]));
    model_shape all = shown;
    all.n_head = share ? static_cast<int32_t>(share->heads.total) : 0;
    all.n_head_kv = share ? static_cast<int32_t>(share->n_head_kv) : 0;
    return all;
}

}  // namespace tmx
