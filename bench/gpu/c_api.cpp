// What bench/gpu/peers.py calls: our kernels behind C functions, so that PyTorch's kernels and ours run in one process
// on the same tensors. Not part of the product.
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "trianglemix/cuda_attention.h"

#define TMX_BENCH_API extern "C" __attribute__((visibility("default")))

namespace {

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
};

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
// 2 q8_0, 3 q4_0). n_window 0: dense.
TMX_BENCH_API chunk_work * tmx_bench_prepare(tmx::cuda_context * ctx, void * stream, int64_t n, int64_t row_begin,
                                             int64_t row_end, int64_t n_head, int64_t n_head_kv, int64_t dim, int type,
                                             int64_t n_sink, int64_t n_window, int64_t n_last) {
    constexpr tmx::dtype types[] = {tmx::dtype::f16, tmx::dtype::bf16, tmx::dtype::q8_0, tmx::dtype::q4_0};
    if (type < 0 || type >= static_cast<int>(std::size(types))) {
        last_error() = "type is " + std::to_string(type) + ", must be 0 to 3";
        return nullptr;
    }
    auto result = std::make_unique<chunk_work>();
    tmx::attention_args & a = result->args;
    a.k_type = a.v_type = types[type];
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
    work->args.q = static_cast<const float *>(q);
    work->args.k = k;
    work->args.v = v;
    work->args.out = static_cast<float *>(out);
    work->args.lse = static_cast<float *>(lse);
    return failed(tmx::cuda_attention_forward(work->args, *work->work, *ctx, stream)) ? 1 : 0;
}
