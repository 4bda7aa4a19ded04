// What was computed how, since load or the last reset: by the process, or by one context. statistics_json.h and
// statistics_summary.h say it.
//
// THREADS  Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "backend/decline_reason.h"
#include "backend/norm_decline.h"
#include "backend/product_decline.h"
#include "backend/runs/ubatch_runs.h"
#include "backend/segments.h"
#include "backend/selected_node.h"
#include "trianglemix/products.h"

namespace tmx {

enum class node_kind : uint8_t {
    triangle,  // a triangle layer in which the plan treated at least one run, and no row was selected
    dense,     // no plan for this layer, or one by which no row was selected; every row in a causal run
    masked,    // some rows went through the mask, and the plan treated none
    dynamic,   // a layer, triangle or not, in which blocks were selected for at least one run
};
constexpr int k_node_kinds = 4;

// One attention node that was computed.
struct node_record {
    node_kind kind = node_kind::dense;
    int32_t layer = -1;
    layer_rule rule;
    int64_t unordered_rows = 0;  // dense only because the order of their keys is not certain
    const ubatch_runs * found = nullptr;
    pair_count pairs;  // but for those of selected segments
    double seconds = 0;
};

// For count_pairs(). What is left of `args`: mask and pointers do not count.
node_shape shape_of_node(const attention_args & args);

// REQUIRES `found`, and what the rule points to, outlive the record. marks: selected_marks() of the segments.
node_record describe_node(const attention_args & args, int32_t layer, const layer_rule & rule,
                          const ubatch_runs & found, const std::vector<attention_segment> & segments,
                          std::span<const uint8_t> marks, double seconds);

// One classification of a ubatch.
struct ubatch_record {
    const ubatch_runs * found = nullptr;
    double seconds = 0;
};

// A GPU proxy that is registered.
struct proxy_facts {
    std::string name;
    std::string wraps;   // name of the device behind it
    std::string kernel;  // what computes there
};

// What is known of one layer.
struct layer_counts {
    std::array<int64_t, k_node_kinds> nodes{};
    pair_count pairs;
    double seconds = 0;
    std::map<std::string, selection_counts> selections;  // by rule; the first k_most_selections that differ

    // All of them together.
    selection_counts selected() const;
};
constexpr size_t k_most_selections = 32;  // a host may change plans without end

// Matrix products of one type of weights in one arithmetic.
struct product_kind {
    weight_type weights;
    product_arithmetic arithmetic;

    bool operator<(const product_kind & other) const {
        return std::tie(weights, arithmetic) < std::tie(other.weights, other.arithmetic);
    }
};

struct product_counts {
    int64_t nodes = 0;
    double flops = 0;
    double seconds = 0;
};

// Norms of rows. One that was computed together with the MUL that follows counts as two nodes.
struct norm_counts {
    int64_t nodes = 0;
    double seconds = 0;
};

// Token embeddings that were looked up for a GPU.
struct embedding_counts {
    int64_t rows = 0;
    double seconds = 0;
};

// Feed-forward blocks that GPU proxies computed (enqueued, so without a time), and those that they passed on.
struct feed_forward_counts {
    int64_t blocks = 0;
    double flops = 0;  // of their products
    std::map<std::string, int64_t> passed_on;
};

// What was counted, as plain values.
struct all_counts {
    std::array<int64_t, k_node_kinds> nodes{};
    int64_t planned_runs = 0;
    int64_t dense_runs = 0;
    int64_t masked_runs = 0;
    int64_t planned_rows = 0;
    int64_t dense_rows = 0;
    int64_t unordered_rows = 0;
    std::array<int64_t, k_mask_reasons> masked_rows{};
    std::map<std::string, int64_t> fallbacks;
    std::map<std::string, int64_t> strict_failures;
    pair_count pairs;
    std::array<pair_count, k_node_kinds> kind_pairs{};  // of these, by what the nodes were
    pair_count passed_on_pairs;                         // and those of nodes that were passed on
    double seconds = 0;
    int64_t ubatches = 0;
    int64_t mixed_ubatches = 0;
    int64_t masked_ubatches = 0;
    int64_t reordered_ubatches = 0;
    double classify_seconds = 0;
    std::map<int32_t, layer_counts> layers;
    std::map<std::string, selection_counts> selections() const;  // of all layers, by rule
    std::string refusal;
    int64_t cut_graphs = 0;
    int64_t whole_graphs = 0;
    std::map<std::string, int64_t> passed_on;
    feed_forward_counts feed_forward;
    std::set<std::string, std::less<>> ways;
    std::vector<proxy_facts> proxies;  // that are registered
    int64_t scratch_bytes = 0;         // device memory that GPU proxies hold for themselves now, and held at most
    int64_t scratch_peak = 0;
    int64_t short_masks = 0;   // that went to another host in few bytes
    int64_t unsent_masks = 0;  // that a GPU did not need
    std::array<int64_t, k_decline_reasons> declined{};
    std::map<product_kind, product_counts> products;
    std::array<int64_t, k_product_declines> declined_products{};
    norm_counts norms;
    std::array<int64_t, k_norm_declines> declined_norms{};
    embedding_counts embeddings;
};

class statistics {
  public:
    // `whole`, if any, counts what is counted here, too. It must outlive this.
    explicit statistics(statistics * whole = nullptr) : whole_(whole) {}

    void count_declined(decline_reason reason) {
        declined_[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
    }
    void count_declined_product(product_decline reason) {
        declined_products_[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
    }
    void count_product(product_kind kind, const product_counts & done);
    void count_declined_norm(norm_decline reason) {
        declined_norms_[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
    }
    void count_norm(const norm_counts & done);
    void count_embeddings(const embedding_counts & done);
    void count_ubatch(const ubatch_record & record);
    void count_node(const node_record & record);
    // Once a node, when it is known what its selected segments kept.
    void count_selected(int32_t layer, const selected_record & record);
    void count_fallback(const char * reason);  // a planned layer, or something asked for, was computed exactly instead
    // One graph of a GPU proxy: cut up to compute attention nodes, or passed on whole.
    void count_graph(bool cut);
    // An attention node that a GPU proxy left to the wrapped device. True: the first for this reason.
    bool count_passed_on(const std::string & reason);
    // What such a node computes, where it is known: else a plan would seem to have skipped a share of fewer pairs.
    void count_passed_on_pairs(int32_t layer, const pair_count & pairs);
    // A feed-forward block that a GPU proxy computed; and one that it left to the wrapped device, as above.
    void count_feed_forward(double flops);
    bool count_passed_on_feed_forward(const std::string & reason);
    void note_refusal(const std::string & difference);
    void count_strict_failure(const std::string & reason);  // strict mode fails this evaluation
    void count_short_mask();                                // one that went to another host in few bytes
    void count_unsent_masks(size_t n);                      // that a GPU did not need
    void add_scratch(int64_t bytes);  // device memory that GPU proxies hold for themselves, all together
    void reset();

    // What this process offers, for the JSON; not reset.
    void set_proxies(std::vector<proxy_facts> proxies);

    // Nothing was counted: the backend was not even asked for a node, because this process ran no model.
    bool idle() const;

    // All of it at one moment. Of a context: its own counts, beside what the process declined and offers.
    all_counts read() const;

  private:
    statistics * whole_;
    mutable std::mutex mutex_;
    all_counts sums_;  // but for what was declined
    std::array<std::atomic<int64_t>, k_decline_reasons> declined_{};
    std::array<std::atomic<int64_t>, k_product_declines> declined_products_{};
    std::array<std::atomic<int64_t>, k_norm_declines> declined_norms_{};
};

statistics & process_statistics();

}  // namespace tmx
