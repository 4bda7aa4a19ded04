// trianglemix/selection.h -- dynamic sparse methods: which blocks of keys the rows of a chunk keep, chosen from that
// layer's own Q and K, just before its attention.
//
//   Q, K of a layer --method--> bits [head][tile of 128 rows][block of 128 keys] --walks--> the same attention kernels
//
// Methods and rules are named in selection_rule.h. A method has a CPU and a CUDA function (src/select/methods.h). What
// every method is given and owes is written here once.
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

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "trianglemix/attention.h"
#include "trianglemix/block_bitmap.h"
#include "trianglemix/cuda_attention.h"
#include "trianglemix/rotary_layout.h"
#include "trianglemix/selection_rule.h"
#include "trianglemix/status.h"

namespace tmx {

// Which of a call's segments are selected, and how their bits are used: each query head visits its own blocks, or the
// heads of a key head's group visit the union. A selected segment also keeps every block of which its `kept` keeps a
// key: k_no_band for selection alone.
struct selection_request {
    selection_rule rule;
    std::span<const uint8_t> selected;  // one per segment, non-zero: selected
    bool per_query_head = false;
    rotary_layout rotary = {};  // of q and k; a method that needs_rotary is refused where it is unknown
};

// What select_blocks() is told beside the layer.
struct selection_options {
    rotary_layout rotary;
    precision arithmetic = precision::exact;  // fast: methods may round q and k to bf16 first
    const char * kernel = nullptr;            // as in cpu_context
};

// Keys of a block of the rule's bits. REQUIRES a method that exists.
inline int64_t block_keys_of(const selection_rule & rule) {
    return selection_method_of(rule.method).fine_blocks ? k_fine_keys : k_bitmap_keys;
}

// The bits of one segment, of every query head, on the CPU. REQUIRES a ranked segment; `bits` of its shape, all 0; and
// q and k, unless the method's bits depend on sizes only.
status select_blocks(const selection_rule & rule, const attention_args & args, const attention_segment & segment,
                     int32_t n_threads, block_bitmap & bits, const selection_options & options = {}) noexcept;

// Selection, walks and attention of one layer, on the CPU: attention_forward() with lists made of the selected bits.
// Adds the pairs that the selected segments keep, over all heads, to *kept, if it is not null. REQUIRES what that does,
// and checks it before it selects.
status selected_attention_forward(const selection_request & request, const attention_args & args,
                                  std::span<const attention_segment> segments, cpu_context & ctx,
                                  int64_t * kept) noexcept;

// The pairs that the selected segments would keep, over all heads; none where the method must see Q and K to know.
// Reads sizes and segments only; none also where these are invalid.
std::optional<int64_t> pairs_known_ahead(const selection_request & request, const attention_args & args,
                                         std::span<const attention_segment> segments) noexcept;

// The rule for cuda_prepare(); null if this build or the method has no CUDA form, check_rule() refuses the rule, or the
// method needs to know a rotary layout that is unknown.
std::shared_ptr<const cuda_selector> cuda_selector_of(const selection_rule & rule, const rotary_layout & rotary = {});

}  // namespace tmx
