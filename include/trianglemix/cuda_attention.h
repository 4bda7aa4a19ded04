// trianglemix/cuda_attention.h -- the same attention as attention.h, on an NVIDIA GPU (compute capability 8.0 and up).
//
// Three calls. Once per evaluation (ubatch) and rule: cuda_prepare() cuts the segments into tile lists and uploads
// them. Once per layer: cuda_attention_forward() launches. Before either: cuda_declines() says whether a node is
// covered. This header includes nothing of CUDA, so that it can be used where the toolkit is not; streams are `void *`
// for cudaStream_t. In builds without CUDA (TMX_CUDA=OFF) none of these functions exist.
//
//   std::unique_ptr<cuda_context> ctx;        std::shared_ptr<cuda_work> work;
//   cuda_context::create(device, ctx);
//   each ubatch and rule:  cuda_prepare(args_of_any_layer, segments, {}, *ctx, stream, work);
//   each layer:            cuda_attention_forward(args, *work, *ctx, stream);
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "trianglemix/attention.h"
#include "trianglemix/block_bitmap.h"
#include "trianglemix/block_lists.h"
#include "trianglemix/rotary_layout.h"
#include "trianglemix/status.h"

namespace tmx {

// Why no kernel here computes this call, as text that lives forever; null if one does. Looks at types, sizes, head
// counts and options (sink_logit and alibi_slope count as asked for if they are not null); at no strides, no other
// pointers, no device and no segments, so it can answer a scheduler's question.
//
// COVERED  k_cuda_features (kernel_features.h); any strides; dense_head; lse.
const char * cuda_declines(const attention_args & args) noexcept;

// How much device memory a context may take for itself, tile lists and scratch: one part in `share` of what is free,
// with what it has already counted as free, and never more than most_bytes. It is looked at whenever the context needs
// more.
struct cuda_scratch_limit {
    int64_t most_bytes = std::numeric_limits<int64_t>::max();
    int64_t share = 1;  // at least 1

    constexpr int64_t allows(int64_t free_bytes, int64_t held_bytes) const noexcept {
        return std::min((free_bytes + held_bytes) / share, most_bytes);
    }
};

// The pairs that the selected segments of one call kept.
struct cuda_kept_pairs {
    uint64_t call = 0;           // as cuda_attention_forward() numbered it
    std::vector<int64_t> pairs;  // [segments][n_head]; 0 where a segment is not selected
};

// What one thread drives one device with: the kernel in use, pinned upload buffers, scratch. All calls with one context
// must use one stream, or streams that the caller orders one after the other.
//
// THREADS  One call at a time per context; contexts are independent.
class cuda_context {
  public:
    // ERRORS  unsupported: the device is older than sm_80 or has no memory pools; or the driver is of an older major
    //         version than this build's CUDA, on devices newer than Hopper of any older version. device_error,
    //         out_of_memory.
    static status create(int device, std::unique_ptr<cuda_context> & ctx) noexcept;
    ~cuda_context();  // waits until the device is idle
    cuda_context(const cuda_context &) = delete;
    cuda_context & operator=(const cuda_context &) = delete;

    int device() const noexcept;
    // "sm90a" (TMA and wgmma, Hopper only) or "sm80" (cp.async and mma.sync, everything since Ampere).
    const char * kernel() const noexcept;
    // For tests and measurements. ERRORS unsupported: this device cannot run it. invalid_argument: no such kernel.
    // Works prepared before stay good for the kernel they were prepared for.
    status force_kernel(const char * name) noexcept;

    // From now on; what is held already stays. Without a call there is no limit.
    void limit_scratch(const cuda_scratch_limit & limit) noexcept;
    // Device memory that the context and its works hold, in bytes.
    int64_t scratch_bytes() const noexcept;
    // Gives back all that no work holds, if the stream is idle; false: it is not. The next call that needs it takes it
    // again. May wait for the device.
    bool release_scratch(void * stream) noexcept;

    // What the calls kept whose counting has arrived here, each told once, in no order. Has the device send what it has
    // not sent yet, behind all that the stream holds; waits for nothing. Throws bad_alloc.
    std::vector<cuda_kept_pairs> take_kept(void * stream);

    struct state;
    state & internals() noexcept { return *state_; }

  private:
    cuda_context() noexcept;
    std::unique_ptr<state> state_;
};

// Tile lists of one evaluation, resident on the device; opaque. Good for any number of forward calls of the shape it
// was prepared for, with the context it was prepared with. May be dropped while its kernels still run, and after its
// context.
struct cuda_work;

// Blocks that a device kernel selects before each call, from that layer's Q and K (selection.h). This is what attention
// and a selector know of each other.
//
// One selected segment, as its selector finds it on the device.
struct cuda_selected_rows {
    size_t segment = 0;         // its number
    bitmap_shape shape;         // of its bits: every query head; the ranks of its rows
    uint32_t * bits = nullptr;  // DEVICE [shape.total_words()]: the selector writes every word
    int64_t batch = 0;          // of q
    int64_t row_begin = 0;      // row of q of the first rank of shape.ranks
    int64_t key_batch = 0;      // of k
    int64_t key_begin = 0;      // the key of rank j is index key_begin + j of the key axis
};

struct cuda_selection_call {
    // The layer's call, pointers to DEVICE memory. k and v are f16 or bf16: the copies, where keys had to be copied.
    attention_args args;
    std::span<const cuda_selected_rows> rows;
    void * workspace = nullptr;  // DEVICE [workspace_bytes()]; holds nothing yet
    void * stream = nullptr;
    rotary_layout rotary = {};  // what cuda_selector_of() was told
};

class cuda_selector {
  public:
    virtual ~cuda_selector() = default;

    // Keys of a block of its bits: k_bitmap_keys or k_fine_keys.
    virtual int64_t block_keys() const noexcept { return k_bitmap_keys; }

    // What share of the blocks it is expected to keep, 0 to 1; 1 where nobody knows. Dense rows beside selected ones
    // are cut by it: too large a share leaves the device idle at the end, too small a one cuts more than is needed.
    // With 1 they are cut as without a selection, so that keeping everything has the same bits.
    virtual double expected_share() const noexcept { return 1; }

    // DEVICE memory that select() needs; counts towards the context's limit. Asked once, by cuda_prepare(), with the
    // sizes, strides and types that select() will be given; all pointers are null, those of `rows` too.
    virtual int64_t workspace_bytes(const attention_args & args,
                                    std::span<const cuda_selected_rows> rows) const noexcept = 0;

    // Enqueues what writes the bits; waits for nothing.
    virtual status select(const cuda_selection_call & call) const noexcept = 0;
};

// Which segments it is about. Such a segment keeps the blocks that are selected, those that every selection keeps
// (mandatory_bits), and every block of which its `kept` keeps a key: k_no_band adds none. Its dense_head is ignored.
struct cuda_selection {
    std::shared_ptr<const cuda_selector> selector;  // null: nothing is selected
    std::span<const uint8_t> selected;              // [segments] non-zero: selected
    bool per_query_head = false;  // each query head visits its own blocks; else a key head's group visits the union
};

// Cuts `segments` into tile lists and starts their upload; reserves what scratch the calls will need. Does not wait for
// what runs, but for memory: the first use of a size allocates it, which may wait for the device. While scratch grows,
// old and new are both held until the stream has passed; where they would be more than the limit, the old is waited
// for.
//
// SHAPES   args: every size, stride, type and dense_head of the calls to come, and whether they have a logit_softcap or
//          a skip_factor. Its pointers are not read, except dense_head (HOST memory), and k, v for their alignment:
//          pass one layer's.
//          segments: as in attention_forward(), `cells` in HOST memory; disjoint, ranked only.
//          lists: empty, or one per segment; a null `begin` leaves that segment to its band.
//          selection: no segment has both a list and a selection. What its blocks need on the device is sized as if all
//          were selected: 4 bytes a block (of 128 keys, or 16), tile of 128 rows and key head (or query head), and the
//          bits.
// COST     Host time and upload grow with the items, rows * n_head / 128 and a few more where the heads of a key
//          head do not divide 128: some 50 ns and 96 bytes each, the time twice where two tile sizes are compiled
//          for the head dimension and both lists are made. Beside them the cells and the blocks of lists are
//          uploaded, 4 bytes each, and 32 bytes for every 64 staged keys.
// ERRORS   invalid_argument, unsupported (what cuda_declines() says, or a masked segment), out_of_memory (of the device
//          or of the host, or the context's limit is reached), device_error. `work` is then unchanged.
status cuda_prepare(const attention_args & args, std::span<const attention_segment> segments,
                    std::span<const block_lists> lists, cuda_context & ctx, void * stream,
                    std::shared_ptr<cuda_work> & work, const cuda_selection & selection = {}) noexcept;

// Enqueues the attention of the segments that `work` was prepared for; before it, where there are selected ones, their
// selection, and the walks over what it selects.
//
// SHAPES   q, k, v, out, lse, sink_logit, skips: DEVICE memory. Sizes, strides and types as in cuda_prepare(); pointers
//          at least as aligned as there (16 bytes for k and v is what needs no staging copy). lse, sink_logit and skips
//          may be null, or not, in every call anew.
// SKIPS    As attention.h says, also in segments with lists or a selection. The tiles are 64 rows (packed: positions
//          times heads of a key head) by 128 keys, or 64 where a head dimension is above 128; of the portable kernel
//          32 rows by 64 keys, or 16 by 32. `skips` also counts, as skipped, the few tiles of which their rows see
//          nothing. A part of a walk that several blocks share starts without a maximum.
// NUMERICS Q is rounded to the type of K, weights to that of V (f16 or bf16), sums are f32; docs/numerics.md. Same bits
//          on every run of one kernel, work and device.
// ERRORS   invalid_argument: the shape differs from the work's, as far as cuda_prepare() was told of it, or the work is
//          another context's. unsupported: an option that cuda_declines() names. out_of_memory: scratch was released
//          since, and cannot be had again. In all three out is unchanged. device_error: a launch failed; out is then
//          undefined. Later faults surface at the caller's next synchronisation of the stream.
//
// `call`, if not null: the device counts the pairs that the selected segments keep, and *call is the number by which
// take_kept() tells them; 0: none is selected, or there is no memory to count. The counters' memory, some 32 KB, is no
// part of the context's limit.
status cuda_attention_forward(const attention_args & args, const cuda_work & work, cuda_context & ctx, void * stream,
                              uint64_t * call = nullptr) noexcept;

// What a work holds, for statistics and logs.
struct cuda_work_facts {
    const char * kernel = "";  // kernel that it was prepared for
    int64_t n_items = 0;       // tiles of queries, counting every part of a split one
    int64_t n_key_tiles = 0;   // over all items
    int64_t block_keys = 0;    // keys of a tile
    int64_t n_partials = 0;    // parts whose results are combined by a second kernel
    bool staged = false;       // keys and values are copied (gathered, dequantised) first
    int64_t upload_bytes = 0;
    int64_t scratch_bytes = 0;
};
cuda_work_facts facts_of(const cuda_work & work) noexcept;

}  // namespace tmx
