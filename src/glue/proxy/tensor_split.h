// llama.cpp's tensor split (-sm tensor): every device computes some heads of each layer, in graphs that show no others.
// The devices of one context make up a group, in the order in which they have the heads; it learns how many each has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "backend/layer_rules.h"
#include "glue/abi.h"

namespace tmx {

class split_group {
  public:
    explicit split_group(size_t n_devices) : n_devices_(n_devices) {}

    struct heads {
        int64_t n_head = -1;  // -1: not known
        int64_t n_head_kv = 0;
    };
    void note(size_t device, int32_t layer, const heads & its);

    // Of one device and layer: which heads it has, and the layer's KV heads on all devices. None: some device's are not
    // known yet, as in a context's very first evaluation.
    struct share {
        head_range heads;
        int64_t n_head_kv = 0;
    };
    std::optional<share> of(size_t device, int32_t layer) const;

  private:
    size_t n_devices_;
    std::map<int32_t, std::vector<heads>> layers_;  // [layer][device]
};

// A device's membership. Without a group it has all heads of its graphs.
// THREADS  A host computes on the devices of one context from one thread at a time.
class split_member {
  public:
    void join(std::shared_ptr<split_group> group, size_t device);
    bool split() const { return group_ != nullptr; }

    // Learns from a graph of the device's: also from nodes that compute nothing, since it has none of their heads.
    void note(const ggml_cgraph * graph);

    // The heads of such a node; head_range::known() is false if not all devices' are known.
    head_range heads_of(const ggml_tensor * node) const;

    // The whole model's shape where a graph shows a share of it: heads that are not known become 0.
    model_shape whole(const model_shape & shown, const ggml_tensor * node) const;

  private:
    std::shared_ptr<split_group> group_;
    size_t device_ = 0;
};

}  // namespace tmx
