// What selection computes with vectors, compiled for each instruction set: the steps that its methods are made of.
// Their threads and memory are the callers'.
#pragma once

#include <cstdint>

#include "cpu_base/kernel_list.h"
#include "select/cpu/layer_rows.h"
#include "select/means.h"
#include "select/xattention.h"
#include "trianglemix/selection.h"

namespace tmx::select_cpu {

// Panels hold rows as columns, as the kernels' products read them. A whole number of these columns has room for every
// instruction set's panels.
constexpr int64_t k_panel_columns = 64;
constexpr int64_t padded_columns(int64_t n) {
    return (n + k_panel_columns - 1) / k_panel_columns * k_panel_columns;
}

constexpr int64_t k_product_rows = 6;       // of row_products(), at most
constexpr int64_t k_convert_floats = 1040;  // scratch of the steps that decode: four rows, and a vector

// The block means of one key head.
struct mean_panels {
    const float * panels = nullptr;
    int64_t n = 0;
};

// One tile's rows, over the query heads of one key head.
struct means_item {
    layer_rows rows;
    int64_t key_head = 0;
    index_range tile;  // ranks
    mean_panels means;
    bool tile_maximum = false;  // exponents count from the tile's largest one, not from each row's
};

// Queries of some groups and heads of one key head; row m of an item is group m / heads, head m % heads.
struct group_item {
    layer_rows rows;
    xattention_values values;
    index_range groups;              // of queries
    index_range heads;               // query heads
    const float * panels = nullptr;  // of the key head's groups
    int64_t n_key_groups = 0;

    int64_t n_rows() const { return groups.size() * heads.size(); }
};

// Columns of logits that a row has at once. Their sums by block share a maximum.
constexpr int64_t k_span = 64;

struct group_scratch {
    float * q = nullptr;        // [rows, stride * d_qk]; fast: bf16 pairs in half of it
    float * logits = nullptr;   // [rows, k_span]
    float * sums = nullptr;     // [rows, spans * k_span * stride / 128] by block: 2^(logit - maximum of the span)
    float * maxima = nullptr;   // [rows, spans]
    float * factors = nullptr;  // [rows] logits times this are base-2 exponents
    int64_t n_spans = 0;        // that a row has room for
};

struct kernel {
    const char * name;
    int64_t highway_target;  // what the CPU must have, see cpu_base/kernel_list.h
    bool (*available)();

    // Mean of the keys of these ranks, at most 128: their sum times `factor`. `convert` as everywhere below.
    void (*mean_key)(const layer_rows & rows, int64_t key_head, index_range ranks, float factor, float * convert,
                     float * mean);
    // [n, d] f32 rows as panels.
    void (*pack_means)(const float * means, int64_t n, int64_t d, float * convert, float * panels);
    // logits[r, i] = a[r] . mean i, of the first n means, of n_rows rows. a: [n_rows, a_stride]; logits: [n_rows,
    // padded_columns(means.n)].
    void (*row_products)(const float * a, int64_t a_stride, int64_t n_rows, int64_t d, const mean_panels & means,
                         int64_t n, float * logits);
    // E of means.h, of every scored block. logits: [k_product_rows, padded_columns(means.n)].
    void (*means_votes)(const means_item & item, float * logits, float * votes);

    // Key groups [begin, begin + k_panel_columns) as panels of the key head's groups: each its keys one after another.
    void (*pack_groups)(const layer_rows & rows, int64_t key_head, int64_t stride, int64_t begin, float * convert,
                        float * panels);
    // Fills maxima and sums of the spans that a row's queries may see.
    void (*group_sums)(const group_item & item, const group_scratch & scratch);
    // The same in bf16 pairs; null: this instruction set has none.
    void (*pack_groups_fast)(const layer_rows & rows, int64_t key_head, int64_t stride, int64_t begin, float * convert,
                             float * panels);
    void (*group_sums_fast)(const group_item & item, const group_scratch & scratch);
};

// As attention_forward() chooses its kernel, with the same errors; any kernel serves in fast precision.
status choose_kernel(const char * name, const kernel *& chosen);

}  // namespace tmx::select_cpu
