// What bench/gpu/peers.py and selected.py call: our kernels behind C functions, so that PyTorch's kernels and ours run
// in one process on the same tensors. Not part of the product.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/context.h"
#include "kernels/cuda/make_walks.h"
#include "trianglemix/cuda_attention.h"
#include "trianglemix/cuda_mask_rows.h"
#include "trianglemix/selection.h"

#define TMX_BENCH_API extern "C" __attribute__((visibility("default")))

namespace {

constexpr tmx::dtype k_types[] = {tmx::dtype::f16, tmx::dtype::bf16, tmx::dtype::q8_0, tmx::dtype::q4_0};

std::string & last_error() {
    static std::string text;
    return text;
}

bool failed(const tmx::status & s) {
    if (!s.ok()) {
        last_error() = s.message();
    }
    return !s.ok();
}

struct chunk_work {
    tmx::attention_args args;
    std::shared_ptr<tmx::cuda_work> work;
    double flops = 0;
    double density = 1;  // of the causal pairs of its rows, those that are kept
    // Of a work with selected rows:
    bool per_query_head = false;
    double pairs = 0;        // causal ones, of all heads
    double dense_pairs = 0;  // those of rows that are not selected
};

bool good_type(int type) {
    if (type < 0 || type >= static_cast<int>(std::size(k_types))) {
        last_error() = "type is " + std::to_string(type) + ", must be 0 to 3";
        return false;
    }
    return true;
}

tmx::attention_args make_args(int64_t n, int64_t row_begin, int64_t row_end, int64_t n_head, int64_t n_head_kv,
                              int64_t dim, int type) {
    tmx::attention_args a;
    a.k_type = a.v_type = k_types[type];
    a.n_head = n_head;
    a.n_head_kv = n_head_kv;
    a.n_q = row_end - row_begin;
    a.n_kv = row_end;
    a.d_qk = a.d_v = dim;
    a.q_stride_head = a.k_stride_head = a.v_stride_head = a.out_stride_head = dim;
    a.q_stride_row = a.out_stride_row = n_head * dim;
    a.k_stride_row = a.v_stride_row = n_head_kv * dim;
    a.q_stride_batch = a.out_stride_batch = n * n_head * dim;
    a.k_stride_batch = a.v_stride_batch = n * n_head_kv * dim;
    a.scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));
    return a;
}

void set_pointers(chunk_work & work, const void * q, const void * k, const void * v, void * out, void * lse) {
    work.args.q = static_cast<const float *>(q);
    work.args.k = k;
    work.args.v = v;
    work.args.out = static_cast<float *>(out);
    work.args.lse = static_cast<float *>(lse);
}

}  // namespace

TMX_BENCH_API const char * tmx_bench_error() {
    return last_error().c_str();
}

TMX_BENCH_API tmx::cuda_context * tmx_bench_context(int device, const char * kernel) {
    std::unique_ptr<tmx::cuda_context> ctx;
    if (failed(tmx::cuda_context::create(device, ctx)) || (*kernel != 0 && failed(ctx->force_kernel(kernel)))) {
        return nullptr;
    }
    return ctx.release();
}

TMX_BENCH_API void tmx_bench_drop_context(tmx::cuda_context * ctx) {
    delete ctx;
}

// Rows [row_begin, row_end) of a prompt of `n` tokens over the keys up to the last of them. Queries and outputs are
// [n, n_head, dim] f32, keys and values [n, n_head_kv, dim] of `type` (0 f16, 1 bf16,
// 2 q8_0, 3 q4_0). n_window 0: dense. softcap, skip_factor: of attention_args.
TMX_BENCH_API chunk_work * tmx_bench_prepare(tmx::cuda_context * ctx, void * stream, int64_t n, int64_t row_begin,
                                             int64_t row_end, int64_t n_head, int64_t n_head_kv, int64_t dim, int type,
                                             int64_t n_sink, int64_t n_window, int64_t n_last, float softcap,
                                             float skip_factor) {
    if (!good_type(type)) {
        return nullptr;
    }
    auto result = std::make_unique<chunk_work>();
    result->args = make_args(n, row_begin, row_end, n_head, n_head_kv, dim, type);
    result->args.logit_softcap = softcap;
    result->args.skip_factor = skip_factor;
    const tmx::attention_args & a = result->args;
    std::vector<tmx::row_segment> stretches = {{{0, row_end - row_begin}, {}}};
    if (n_window > 0) {
        stretches =
            tmx::resolve_segments({n_sink, n_window, n_last}, tmx::tail_policy::prompt, {{row_begin, row_end}, n}, {});
    }
    std::vector<tmx::attention_segment> segments;
    for (const tmx::row_segment & stretch : stretches) {
        tmx::attention_segment segment;
        segment.row_begin = stretch.rows.begin;
        segment.row_end = stretch.rows.end;
        segment.rank_begin = row_begin + stretch.rows.begin;
        segment.kept = stretch.kept;
        segments.push_back(segment);
        result->flops += tmx::count_work(stretch.kept, {segment.rank_begin, row_begin + segment.row_end}, n_head,
                                         n_head_kv, dim, dim, 2)
                             .flops;
    }
    if (failed(tmx::cuda_prepare(a, segments, {}, *ctx, stream, result->work))) {
        return nullptr;
    }
    return result.release();
}

// The same rows with blocks selected in all of them but the prompt's last n_last: by a method with n_values values of
// its parameters, in their order; the rest are the usual ones. Dimensions turn as if all of a head were rotated in
// halves. What it keeps is known after tmx_bench_count().
TMX_BENCH_API chunk_work * tmx_bench_prepare_selected(tmx::cuda_context * ctx, void * stream, int64_t n,
                                                      int64_t row_begin, int64_t row_end, int64_t n_head,
                                                      int64_t n_head_kv, int64_t dim, int type, int64_t n_last,
                                                      const char * method, const double * values, int n_values,
                                                      int per_query_head) {
    if (!good_type(type)) {
        return nullptr;
    }
    const std::optional<int32_t> number = tmx::find_selection_method(method);
    if (!number) {
        last_error() = std::string("there is no method ") + method;
        return nullptr;
    }
    tmx::selection_rule rule = tmx::usual_rule(*number);
    std::copy_n(values, std::min<size_t>(static_cast<size_t>(n_values), rule.values.size()), rule.values.begin());
    auto result = std::make_unique<chunk_work>();
    result->args = make_args(n, row_begin, row_end, n_head, n_head_kv, dim, type);
    result->per_query_head = per_query_head != 0;
    const tmx::triangle_shape shape{tmx::k_no_band.n_sink, tmx::k_no_band.n_window, n_last};
    std::vector<tmx::attention_segment> segments;
    std::vector<uint8_t> selected;
    for (const tmx::row_segment & stretch :
         tmx::resolve_segments(shape, tmx::tail_policy::prompt, {{row_begin, row_end}, n}, {})) {
        tmx::attention_segment segment;
        segment.row_begin = stretch.rows.begin;
        segment.row_end = stretch.rows.end;
        segment.rank_begin = row_begin + stretch.rows.begin;
        segment.kept = stretch.kept;
        segments.push_back(segment);
        selected.push_back(stretch.kept.dense() ? 0 : 1);
        const auto pairs = static_cast<double>(
            tmx::kept_pairs(tmx::band{}, {segment.rank_begin, row_begin + stretch.rows.end}) * n_head);
        result->pairs += pairs;
        result->dense_pairs += stretch.kept.dense() ? pairs : 0;
    }
    const tmx::rotary_layout rotary{tmx::rotary_pairs::halves, dim};
    if (failed(tmx::check_rule(rule)) ||
        failed(tmx::cuda_prepare(result->args, segments, {}, *ctx, stream, result->work,
                                 {tmx::cuda_selector_of(rule, rotary), selected, result->per_query_head}))) {
        return nullptr;
    }
    return result.release();
}

// After a call has selected: reads the bits back, and counts what they keep. Waits for the device.
TMX_BENCH_API int tmx_bench_count(chunk_work * work) {
    double kept = work->dense_pairs;
    for (const tmx::cuda_selected_rows & rows : work->work->selected) {
        tmx::block_bitmap bits(rows.shape);
        const cudaError_t error =
            cudaMemcpy(bits.words.data(), rows.bits, bits.words.size() * sizeof(uint32_t), cudaMemcpyDeviceToHost);
        if (error != cudaSuccess) {
            return failed(tmx::cuda::device_status(error, "reading bits")) ? 1 : 0;
        }
        const int64_t group = work->args.n_head / work->args.n_head_kv;
        kept += static_cast<double>(work->per_query_head
                                        ? tmx::kept_pairs(bits)
                                        : tmx::kept_pairs(tmx::join_groups(bits, work->args.n_head_kv)) * group);
    }
    work->flops = 4.0 * static_cast<double>(work->args.d_qk) * kept;
    work->density = kept / work->pairs;
    return 0;
}

// Bytes of device memory that the context holds, with its works.
TMX_BENCH_API int64_t tmx_bench_memory(const tmx::cuda_context * ctx) {
    return ctx->scratch_bytes();
}

// For the calls to come: sink logits [n_head], and where skipped tiles are counted, two int64 (skip_counts). Device
// memory, or null.
TMX_BENCH_API void tmx_bench_set_options(chunk_work * work, const void * sink_logit, void * skips) {
    work->args.sink_logit = static_cast<const float *>(sink_logit);
    work->args.skips = static_cast<tmx::skip_counts *>(skips);
}

TMX_BENCH_API double tmx_bench_density(const chunk_work * work) {
    return work->density;
}

TMX_BENCH_API double tmx_bench_flops(const chunk_work * work) {
    return work->flops;
}

TMX_BENCH_API void tmx_bench_facts(const chunk_work * work, int64_t * n_items, int64_t * n_key_tiles,
                                   int64_t * block_keys, int64_t * n_partials) {
    const tmx::cuda_work_facts facts = facts_of(*work->work);
    *n_items = facts.n_items;
    *n_key_tiles = facts.n_key_tiles;
    *block_keys = facts.block_keys;
    *n_partials = facts.n_partials;
}

TMX_BENCH_API void tmx_bench_drop_work(chunk_work * work) {
    delete work;
}

// q, out: of the chunk's first row. k, v: of the prompt's first key. lse may be null. 0 if launched.
TMX_BENCH_API int tmx_bench_forward(tmx::cuda_context * ctx, chunk_work * work, void * stream, const void * q,
                                    const void * k, const void * v, void * out, void * lse) {
    set_pointers(*work, q, k, v, out, lse);
    return failed(tmx::cuda_attention_forward(work->args, *work->work, *ctx, stream)) ? 1 : 0;
}

// Of a work with selected rows, only the selection and the walks: as tmx_bench_forward() does before attention.
// REQUIRES keys and values that are read in place.
TMX_BENCH_API int tmx_bench_select(chunk_work * work, void * stream, const void * q, const void * k, const void * v) {
    set_pointers(*work, q, k, v, nullptr, nullptr);
    const tmx::cuda_work & w = *work->work;
    if (failed(w.selector->select({work->args, w.selected, w.workspace, stream}))) {
        return 1;
    }
    const cudaError_t error = tmx::cuda::make_walks(
        {w.walk_jobs, w.walk_job_items, w.bits, w.first_ranks, w.items, w.n_walk_jobs, w.variant->tile_keys},
        static_cast<cudaStream_t>(stream));
    return failed(error == cudaSuccess ? tmx::status() : tmx::cuda::device_status(error, "making walks")) ? 1 : 0;
}

// Only the attention, over the walks that lie there from a call before.
TMX_BENCH_API int tmx_bench_forward_again(tmx::cuda_context * ctx, chunk_work * work, void * stream, const void * q,
                                          const void * k, const void * v, void * out) {
    set_pointers(*work, q, k, v, out, nullptr);
    std::shared_ptr<const tmx::cuda_selector> selector;
    selector.swap(work->work->selector);
    const bool bad = failed(tmx::cuda_attention_forward(work->args, *work->work, *ctx, stream));
    selector.swap(work->work->selector);
    return bad ? 1 : 0;
}

// `mask`: DEVICE [n_rows, n_kv] of f16; `cells`, `found`: HOST [n_rows]. 0, or -1 and the error.
TMX_BENCH_API int tmx_bench_compare_mask_rows(void * context, void * stream, const void * mask, int64_t n_rows,
                                              int64_t n_kv, const int32_t * cells, uint8_t * found) {
    const tmx::device_mask all{
        .data = mask, .stride_stream = 0, .stride_row = n_kv, .n_stream = 1, .n_rows = n_rows, .n_kv = n_kv};
    const auto n = static_cast<size_t>(n_rows);
    return failed(tmx::cuda_compare_mask_rows(all, {cells, n}, {found, n}, *static_cast<tmx::cuda_context *>(context),
                                              stream))
               ? -1
               : 0;
}
