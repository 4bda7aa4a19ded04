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
#include "trianglemix/selection_rule.h"
#include "trianglemix/status.h"

namespace tmx {

// What the heads of a call select by, where they differ. A rule is in force in a segment whose mark is greater than its
// number; where it is not, its heads do as `otherwise` says.
struct head_selections {
    std::span<const selection_rule> rules;  // at most k_most_rules
    std::span<const int32_t> of_head;       // [n_head] a number in `rules`, k_keeps_all or k_keeps_band
    int32_t otherwise = k_keeps_all;        // or k_keeps_band

    // Of a head in a segment with that mark: the number of the rule in force, or what it does instead.
    int32_t at(size_t head, uint8_t mark) const { return of_head[head] >= int32_t{mark} ? otherwise : of_head[head]; }
};

// Which of a call's segments are selected, and how their bits are used: each query head visits its own blocks, or the
// heads of a key head's group visit the union. A selected segment also keeps every block of which its `kept` keeps a
// key: k_no_band for selection alone.
//
// Where heads differ and each visits its own blocks, those heads of a group that select by one rule share their blocks
// all the same, unless its method is per_query_head.
struct selection_request {
    selection_rule rule;
    std::span<const uint8_t> selected;  // one per segment: its mark. Non-zero: selected
    bool per_query_head = false;
    head_selections heads = {};  // without `of_head` every head selects by `rule`, wherever a segment is selected

    bool heads_differ() const { return !heads.of_head.empty(); }
    // How many sums of pairs there are of a call: one a rule, and where heads differ one of the heads in selected
    // segments that have no rule in force.
    size_t n_sums() const { return heads_differ() ? heads.rules.size() + 1 : 1; }
    // Which of them counts a head of a segment with that mark.
    size_t sum_of(size_t head, uint8_t mark) const {
        const int32_t number = heads_differ() ? heads.at(head, mark) : 0;
        return number >= 0 ? static_cast<size_t>(number) : heads.rules.size();
    }
};

// The bits of one segment, of every query head, on the CPU. REQUIRES a ranked segment; `bits` of its shape, all 0; and
// q and k, unless the method's bits depend on sizes only.
status select_blocks(const selection_rule & rule, const attention_args & args, const attention_segment & segment,
                     int32_t n_threads, block_bitmap & bits) noexcept;

// Selection, walks and attention of one layer, on the CPU: attention_forward() with lists made of the selected bits.
// Adds the pairs that the selected segments keep to kept[request.n_sums()], and the seconds that selecting took to
// seconds[], one a rule (what rules share counts for the first), where these are not null. REQUIRES what that does, and
// checks it before it selects.
status selected_attention_forward(const selection_request & request, const attention_args & args,
                                  std::span<const attention_segment> segments, cpu_context & ctx, int64_t * kept,
                                  double * seconds = nullptr) noexcept;

// The pairs that the selected segments would keep, over all heads; none where the method must see Q and K to know, or
// heads differ. Reads sizes and segments only; none also where these are invalid.
std::optional<int64_t> pairs_known_ahead(const selection_request & request, const attention_args & args,
                                         std::span<const attention_segment> segments) noexcept;

// For cuda_prepare(): the rule, or what a request says of all heads, which is copied. Null if this build or a method of
// it has no CUDA form, or check_rule() refuses a rule.
std::shared_ptr<const cuda_selector> cuda_selector_of(const selection_rule & rule);
std::shared_ptr<const cuda_selector> cuda_selector_of(const selection_request & request);

}  // namespace tmx
