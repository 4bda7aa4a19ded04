// trianglemix/selection.h -- dynamic sparse methods: which blocks of keys the rows of a chunk keep, chosen from that
// layer's own Q and K, just before its attention.
//
//   Q, K of a layer --method--> bits [head][tile of 128 rows][block of 128 keys] --walks--> the same attention kernels
//
// A METHOD is a row of a table: a name, its parameters, a CPU and a CUDA function (src/select/methods.cpp). A RULE is a
// method with its parameters' values. What every method is given and owes is written here once.
//
// GIVEN    The rows of one segment (attention.h, ranked): any rank_begin, so the keys of earlier chunks are there, too;
//          any cells or key_begin; any heads, head dimensions and types that the attention kernels cover.
// OWES     Bits of block_bitmap.h. Blocks count from rank 0 of the sequence, wherever the chunk begins, so what a row
//          keeps does not depend on the cutting where chunks begin at multiples of 128. mandatory_bits() are set, bits
//          of blocks that no row of the tile sees are not.
// NUMERICS The same bits on every run, for any number of threads, and on both devices where the method says so.
// ERRORS   As attention: invalid_argument, unsupported, out_of_memory, device_error; then nothing is computed.
// THREADS  Pure functions; on a GPU all that a call enqueues, and nothing waits for the device.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "trianglemix/attention.h"
#include "trianglemix/block_bitmap.h"
#include "trianglemix/cuda_attention.h"
#include "trianglemix/status.h"

namespace tmx {

// One number that a method takes.
struct selection_parameter {
    std::string_view name;
    double least = 0;
    double most = 0;
    double usual = 0;    // what holds where nothing is said
    bool whole = false;  // a whole number
};

struct selection_method {
    std::string_view name;
    std::span<const selection_parameter> parameters;
    bool per_query_head = false;  // how its bits are meant to be used, see selection_request
};

constexpr size_t k_most_parameters = 4;

struct selection_rule {
    int32_t method = 0;                              // its number, see selection_methods()
    std::array<double, k_most_parameters> values{};  // of its parameters, in their order; the rest 0

    bool operator==(const selection_rule &) const = default;
};

// How many methods there are; they are numbered from 0.
int32_t selection_methods();
// REQUIRES 0 <= method < selection_methods().
const selection_method & selection_method_of(int32_t method);
// The number of the method of that name; none if there is no such.
std::optional<int32_t> find_selection_method(std::string_view name);
// The method with its usual parameters.
selection_rule usual_rule(int32_t method);

// Which of a call's segments are selected, and how their bits are used: each query head visits its own blocks, or the
// heads of a key head's group visit the union. A selected segment also keeps every block of which its `kept` keeps a
// key: k_no_band for selection alone.
struct selection_request {
    selection_rule rule;
    std::span<const uint8_t> selected;  // one per segment, non-zero: selected
    bool per_query_head = false;
};

// The bits of one segment, of every query head, on the CPU. REQUIRES a valid ranked segment; `bits` of its shape.
status select_blocks(const selection_rule & rule, const attention_args & args, const attention_segment & segment,
                     int32_t n_threads, block_bitmap & bits) noexcept;

// Selection, walks and attention of one layer, on the CPU: attention_forward() with lists made of the selected bits.
// Adds the pairs that the selected segments keep, over all heads, to *kept, if it is not null.
status selected_attention_forward(const selection_request & request, const attention_args & args,
                                  std::span<const attention_segment> segments, cpu_context & ctx,
                                  int64_t * kept) noexcept;

// The pairs that the selected segments would keep, over all heads; none where the method must see Q and K to know.
// Reads sizes and segments only.
std::optional<int64_t> pairs_known_ahead(const selection_request & request, const attention_args & args,
                                         std::span<const attention_segment> segments) noexcept;

// The rule for cuda_prepare(); null if this build or the method has no CUDA form.
std::shared_ptr<const cuda_selector> cuda_selector_of(const selection_rule & rule);

}  // namespace tmx
