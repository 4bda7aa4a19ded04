// Once per evaluation and rule: tile lists, their upload, and the scratch that the calls will need.
#include <algorithm>
#include <cstring>
#include <new>

#include "kernels/cuda/context.h"
#include "kernels/validate.h"
#include "trianglemix/kernel_features.h"

namespace tmx {
namespace {

using namespace cuda;

// What is copied before attention, and where segments find their keys.
struct staging_plan {
    std::vector<key_place> places;  // one per segment
    std::vector<stage_job> jobs;
    std::vector<int32_t> cells;
    int32_t n_keys = 0;  // 0: nothing is copied
};

// One of K and V, [batch, head, key, dim].
struct tensor {
    const void * data;
    dtype type;
    int64_t stride_batch, stride_head, stride_row;
};

bool in_place(const tensor & t) {
    return (t.type == dtype::f16 || t.type == dtype::bf16) && reinterpret_cast<uintptr_t>(t.data) % 16 == 0 &&
           t.stride_batch % 8 == 0 && t.stride_head % 8 == 0 && t.stride_row % 8 == 0;
}

// The copy engine knows positive strides below 2^40 bytes only; that of an axis of one element is never used.
bool in_engine_reach(const attention_args & args, const tensor & t) {
    const auto good = [](int64_t n, int64_t stride) {
        return n <= 1 || (stride > 0 && stride < (int64_t{1} << 40) / 2);
    };
    return good(args.n_batch, t.stride_batch) && good(args.n_head_kv, t.stride_head) && good(args.n_kv, t.stride_row);
}

bool needs_staging(architecture arch, const attention_args & args, std::span<const attention_segment> segments) {
    const tensor k{args.k, args.k_type, args.k_stride_batch, args.k_stride_head, args.k_stride_row};
    const tensor v{args.v, args.v_type, args.v_stride_batch, args.v_stride_head, args.v_stride_row};
    return !in_place(k) || !in_place(v) ||
           (arch == architecture::sm90a && (!in_engine_reach(args, k) || !in_engine_reach(args, v))) ||
           std::any_of(segments.begin(), segments.end(),
                       [](const attention_segment & s) { return s.cells != nullptr; });
}

bool same_keys(const attention_segment & a, const attention_segment & b) {
    return a.batch == b.batch && a.cells == b.cells && (a.cells != nullptr || a.key_begin == b.key_begin);
}

int64_t n_ranks(const attention_segment & s) {
    return s.rank_begin + s.row_end - s.row_begin;
}

// Segments of the same keys share one stretch of the staged tensor; of it, the ranks that some row keeps are copied.
staging_plan plan_staging(architecture arch, const attention_args & args, std::span<const attention_segment> segments,
                          std::span<const block_lists> lists, const selected_segments & selection) {
    staging_plan plan;
    plan.places.resize(segments.size());
    if (!needs_staging(arch, args, segments)) {
        for (size_t i = 0; i < segments.size(); ++i) {
            plan.places[i] = {static_cast<int32_t>(segments[i].key_begin), segments[i].batch};
        }
        return plan;
    }
    std::vector<bool> done(segments.size(), false);
    for (size_t i = 0; i < segments.size(); ++i) {
        if (done[i]) {
            continue;
        }
        const attention_segment & first = segments[i];
        int64_t end = 0;
        int64_t sink_end = 0;
        int64_t window_begin = std::numeric_limits<int64_t>::max();
        for (size_t j = i; j < segments.size(); ++j) {
            const attention_segment & s = segments[j];
            if (done[j] || !same_keys(first, s) || s.row_begin == s.row_end) {
                continue;
            }
            done[j] = true;
            plan.places[j] = {plan.n_keys, 0};
            const bool listed = !lists.empty() && lists[j].begin != nullptr;
            const band kept = listed || selection.at(j) || args.dense_head != nullptr ? band{} : s.kept;
            const key_ranges keys = visited_keys(kept, {s.rank_begin, n_ranks(s)});
            sink_end = larger(sink_end, keys.sink.end);
            window_begin = smaller(window_begin, keys.window.begin);
            end = larger(end, keys.window.end);
        }
        if (end == 0) {
            continue;
        }
        int32_t cells_begin = -1;
        if (first.cells != nullptr) {
            cells_begin = static_cast<int32_t>(plan.cells.size());
            plan.cells.insert(plan.cells.end(), first.cells, first.cells + end);
        }
        for (const index_range & ranks : {index_range{0, smaller(sink_end, window_begin)}, {window_begin, end}}) {
            for (int64_t rank = ranks.begin; rank < ranks.end; rank += k_stage_keys) {
                plan.jobs.push_back({first.batch,
                                     static_cast<int32_t>(first.cells != nullptr ? 0 : first.key_begin),
                                     cells_begin,
                                     static_cast<int32_t>(rank),
                                     static_cast<int32_t>(smaller(k_stage_keys, ranks.end - rank)),
                                     plan.n_keys + static_cast<int32_t>(rank),
                                     {}});
            }
        }
        plan.n_keys += static_cast<int32_t>(end);
    }
    return plan;
}

// The tile size that has the least work, counting what a tile costs besides its keys as 8 more. Selected blocks want
// tiles that divide them: those are copied in one piece.
const kernel_variant * choose_variant(architecture arch, const attention_args & args,
                                      std::span<const attention_segment> segments, std::span<const block_lists> lists,
                                      const selected_segments & selection, std::span<const key_place> places, int n_sm,
                                      work_list & list) {
    const kernel_variant * best = nullptr;
    const int64_t dim = larger(args.d_qk, args.d_v);
    int32_t best_dim = 0;
    int64_t least = 0;
    for (const kernel_variant & v : variants_of(arch)) {
        if (v.bf16 != (args.k_type == dtype::bf16) || v.options != has_options(args) || v.dim < dim ||
            (best != nullptr && v.dim != best_dim) ||
            (!selection.selected.empty() && k_bitmap_keys % v.tile_keys != 0)) {
            continue;
        }
        work_list candidate =
            make_work_list(args, segments, lists, selection, places, {v.tile_keys, n_sm * v.blocks_per_sm});
        const int64_t cost = candidate.n_key_tiles * (v.tile_keys + 8);
        if (best == nullptr || cost < least) {
            best = &v;
            best_dim = v.dim;
            least = cost;
            list = std::move(candidate);
        }
    }
    return best;
}

// Where each array of a work's memory starts.
struct slab_layout {
    size_t bytes = 0;
    size_t take(size_t n) {
        const size_t offset = bytes;
        bytes += (n + 255) / 256 * 256;  // as cudaMalloc() aligns
        return offset;
    }
    template <typename T>
    size_t add(const std::vector<T> & array) {
        return take(array.size() * sizeof(T));
    }
};

#define TMX_CUDA_TRY(call, doing)                                   \
    do {                                                            \
        if (const cudaError_t error = call; error != cudaSuccess) { \
            return device_status(error, doing);                     \
        }                                                           \
    } while (false)

// The arrays that the host made, then room for those that the device makes.
status upload(const work_list & list, const staging_plan & plan, cuda_context::state & s, cudaStream_t stream,
              cuda_work & work) {
    slab_layout layout;
    const size_t items = layout.add(list.items);
    const size_t combines = layout.add(list.combines);
    const size_t jobs = layout.add(plan.jobs);
    const size_t cells = layout.add(plan.cells);
    const size_t walk_jobs = layout.add(list.jobs);
    const size_t job_items = layout.add(list.job_items);
    // The last array of the upload: selected blocks' first ranks follow those given.
    const size_t first_ranks = layout.bytes;
    const size_t upload_bytes = first_ranks + list.first_ranks.size() * sizeof(int32_t);
    layout.take((list.first_ranks.size() + static_cast<size_t>(list.n_selected_ranks)) * sizeof(int32_t));
    const size_t bits = layout.take(static_cast<size_t>(list.n_bit_words) * sizeof(uint32_t));
    const size_t workspace = layout.bytes;
    if (work.selector != nullptr) {
        const attention_args sizes = without_pointers(args_as_read(work.shape, work.n_staged_keys));
        layout.take(static_cast<size_t>(work.selector->workspace_bytes(sizes, work.selected)));
    }
    if (status taken = s.slabs->take(layout.bytes, s.scratch.bytes(), s.limit, work.slab); !taken.ok()) {
        return taken;
    }
    upload_buffers::buffer * buffer = nullptr;
    TMX_CUDA_TRY(s.uploads.take(upload_bytes, buffer), "pinned memory for tile lists");
    auto * host = static_cast<uint8_t *>(buffer->data);
    const auto copy = [&](size_t offset, const auto & array) {
        if (!array.empty()) {
            std::memcpy(host + offset, array.data(), array.size() * sizeof array[0]);
        }
    };
    copy(items, list.items);
    copy(combines, list.combines);
    copy(jobs, plan.jobs);
    copy(cells, plan.cells);
    copy(walk_jobs, list.jobs);
    copy(job_items, list.job_items);
    copy(first_ranks, list.first_ranks);
    TMX_CUDA_TRY(cudaMemcpyAsync(work.slab.data, host, upload_bytes, cudaMemcpyHostToDevice, stream),
                 "uploading tile lists");
    TMX_CUDA_TRY(cudaEventRecord(buffer->copied, stream), "uploading tile lists");
    auto * base = static_cast<uint8_t *>(work.slab.data);
    work.items = reinterpret_cast<work_item *>(base + items);
    work.combines = reinterpret_cast<const combine_item *>(base + combines);
    work.jobs = reinterpret_cast<const stage_job *>(base + jobs);
    work.cells = reinterpret_cast<const int32_t *>(base + cells);
    work.walk_jobs = reinterpret_cast<const walk_job *>(base + walk_jobs);
    work.walk_job_items = reinterpret_cast<const int32_t *>(base + job_items);
    work.first_ranks = reinterpret_cast<int32_t *>(base + first_ranks);
    work.bits = reinterpret_cast<uint32_t *>(base + bits);
    work.workspace = base + workspace;
    uint32_t * next_bits = work.bits;
    for (cuda_selected_rows & rows : work.selected) {
        rows.bits = next_bits;
        next_bits += rows.shape.total_words();
    }
    work.facts.upload_bytes = static_cast<int64_t>(upload_bytes);
    return {};
}

status make_counter(cuda_context::state & s, cudaStream_t stream) {
    if (s.counter == nullptr) {
        void * made = nullptr;
        TMX_CUDA_TRY(cudaMalloc(&made, sizeof(int32_t)), "memory for a counter");
        s.counter = static_cast<int32_t *>(made);
    }
    if (!s.counter_is_zero) {
        TMX_CUDA_TRY(cudaMemsetAsync(s.counter, 0, sizeof(int32_t), stream), "clearing a counter");
        s.counter_is_zero = true;
    }
    return {};
}

scratch_layout lay_out(const attention_args & args, const cuda_work & work) {
    scratch_layout layout;
    const auto add = [&](size_t bytes) {
        const size_t offset = layout.bytes;
        layout.bytes += (bytes + 255) / 256 * 256;  // as cudaMalloc() aligns
        return offset;
    };
    const size_t partial_rows = static_cast<size_t>(work.n_partials) * k_item_rows;
    const size_t staged_rows = static_cast<size_t>(work.n_staged_keys) * static_cast<size_t>(args.n_head_kv);
    layout.sums = add(partial_rows * static_cast<size_t>(args.d_v) * sizeof(float));
    layout.scales = add(partial_rows * sizeof(float2));
    layout.k = add(staged_rows * static_cast<size_t>(args.d_qk) * 2);
    layout.v = add(staged_rows * static_cast<size_t>(args.d_v) * 2);
    return layout;
}

status validate_selection(std::span<const attention_segment> segments, std::span<const block_lists> lists,
                          const cuda_selection & selection) {
    if (selection.selector == nullptr) {
        return {};
    }
    if (selection.selected.size() != segments.size()) {
        return status::error(status_code::invalid_argument, "%zu marks of selection for %zu segments",
                             selection.selected.size(), segments.size());
    }
    for (size_t i = 0; i < lists.size(); ++i) {
        if (selection.selected[i] != 0 && lists[i].begin != nullptr) {
            return status::error(status_code::invalid_argument, "segment %zu has a block list and a selection", i);
        }
    }
    return {};
}

// What the selector is told; in the order in which work_list counts bits. Their places on the device come later.
std::vector<cuda_selected_rows> rows_to_select(const attention_args & args, std::span<const attention_segment> segments,
                                               const selected_segments & selection, std::span<const key_place> places) {
    std::vector<cuda_selected_rows> selected;
    for (size_t i = 0; i < segments.size(); ++i) {
        const attention_segment & s = segments[i];
        if (selection.at(i) && s.row_begin < s.row_end) {
            cuda_selected_rows rows;
            rows.segment = i;
            rows.shape = {args.n_head, {s.rank_begin, n_ranks(s)}, selection.block_keys};
            rows.batch = s.batch;
            rows.row_begin = s.row_begin;
            rows.key_batch = places[i].batch;
            rows.key_begin = places[i].base;
            selected.push_back(rows);
        }
    }
    return selected;
}

}  // namespace

status cuda_prepare(const attention_args & args, std::span<const attention_segment> segments,
                    std::span<const block_lists> lists, cuda_context & ctx, void * stream,
                    std::shared_ptr<cuda_work> & work, const cuda_selection & selection) noexcept try {
    if (status s = validate_shape(args); !s.ok()) {
        return s;
    }
    if (const auto mismatch = first_mismatch(k_cuda_features, needs_of(args, segments))) {
        return status::error(status_code::unsupported, "%s", mismatch->text);
    }
    if (status s = validate_segments(args, segments); !s.ok()) {
        return s;
    }
    if (status s = validate_lists(args, segments, lists); !s.ok()) {
        return s;
    }
    if (status s = validate_selection(segments, lists, selection); !s.ok()) {
        return s;
    }
    selected_segments by_device;
    if (selection.selector != nullptr) {
        by_device = {selection.selected, selection.per_query_head, selection.selector->block_keys(),
                     selection.selector->expected_share()};
    }
    cuda_context::state & state = ctx.internals();
    const device_scope scope(state.device);
    TMX_CUDA_TRY(scope.error(), "selecting the device");
    const staging_plan plan = plan_staging(state.arch, args, segments, lists, by_device);
    work_list list;
    auto result = std::make_shared<cuda_work>();
    result->slabs = state.slabs;
    result->variant = choose_variant(state.arch, args, segments, lists, by_device, plan.places, state.n_sm, list);
    if (result->variant == nullptr) {
        return status::error(status_code::unsupported, "no %s kernel for this type and head dimension in this build",
                             name_of(state.arch));
    }
    if (!list.fits()) {
        return status::error(status_code::out_of_memory, "the lists of selected blocks hold 2^31 blocks or more");
    }
    result->shape = args;
    result->selected = rows_to_select(args, segments, by_device, plan.places);
    result->selector = result->selected.empty() ? nullptr : selection.selector;
    if (result->selector != nullptr) {
        result->counted = std::make_shared<const counted_work>(
            counted_work{std::move(list.counted), static_cast<int64_t>(segments.size()), args.n_head});
    }
    result->n_walk_jobs = static_cast<int32_t>(list.jobs.size());
    result->n_items = static_cast<int32_t>(list.items.size());
    result->n_combines = static_cast<int32_t>(list.combines.size());
    result->n_partials = list.n_partials;
    result->n_jobs = static_cast<int32_t>(plan.jobs.size());
    result->n_staged_keys = plan.n_keys;
    result->facts.kernel = name_of(state.arch);
    result->facts.n_items = result->n_items;
    result->facts.n_key_tiles = list.n_key_tiles;
    result->facts.block_keys = result->variant->tile_keys;
    result->facts.n_partials = list.n_partials;
    result->facts.staged = plan.n_keys > 0;
    if (result->n_items > 0) {
        const auto on = static_cast<cudaStream_t>(stream);
        result->scratch = lay_out(args, *result);
        result->facts.scratch_bytes = static_cast<int64_t>(result->scratch.bytes);
        if (status s = make_counter(state, on); !s.ok()) {
            return s;
        }
        if (status s = state.scratch.reserve(result->scratch.bytes, state.slabs->bytes(), state.limit, on); !s.ok()) {
            return s;
        }
        if (status s = upload(list, plan, state, on, *result); !s.ok()) {
            return s;
        }
    }
    work = std::move(result);
    return {};
} catch (const std::bad_alloc &) {
    return status::error(status_code::out_of_memory, "no host memory for tile lists");
}

#undef TMX_CUDA_TRY

cuda_work_facts facts_of(const cuda_work & work) noexcept {
    return work.facts;
}

}  // namespace tmx
