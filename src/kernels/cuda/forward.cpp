// Once per layer: fills in the kernel's parameters and launches.
#include <cmath>
#include <new>

#include "kernels/cuda/combine.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/make_walks.h"
#include "kernels/validate.h"

namespace tmx {
namespace {

using namespace cuda;

// The first size, stride or type in which a call differs from what its work was prepared for; null if none.
const char * difference(const attention_args & a, const attention_args & b) {
    struct field {
        const char * name;
        int64_t attention_args::*member;
    };
    constexpr field fields[] = {
        {"n_batch", &attention_args::n_batch},
        {"n_head", &attention_args::n_head},
        {"n_head_kv", &attention_args::n_head_kv},
        {"n_q", &attention_args::n_q},
        {"n_kv", &attention_args::n_kv},
        {"d_qk", &attention_args::d_qk},
        {"d_v", &attention_args::d_v},
        {"k_stride_batch", &attention_args::k_stride_batch},
        {"k_stride_head", &attention_args::k_stride_head},
        {"k_stride_row", &attention_args::k_stride_row},
        {"v_stride_batch", &attention_args::v_stride_batch},
        {"v_stride_head", &attention_args::v_stride_head},
        {"v_stride_row", &attention_args::v_stride_row},
    };
    for (const field & f : fields) {
        if (a.*f.member != b.*f.member) {
            return f.name;
        }
    }
    if (has_options(a) != has_options(b)) {
        return "whether there is a logit_softcap or skip_factor";
    }
    return a.k_type != b.k_type ? "k_type" : a.v_type != b.v_type ? "v_type" : nullptr;
}

bool multiples_of(int64_t n, int64_t a, int64_t b, int64_t c) {
    return a % n == 0 && b % n == 0 && c % n == 0;
}

kernel_params make_params(const attention_args & args, const cuda_work & work, const cuda_context::state & s) {
    uint8_t * const scratch = s.scratch.data();
    constexpr float k_log2_e = 1.44269504088896f;
    kernel_params p;
    p.q = args.q;
    p.out = args.out;
    p.lse = args.lse;
    p.sink_logit = args.sink_logit;
    p.skips = args.skips;
    p.skip_factor = args.skip_factor;
    p.items = work.items;
    p.first_ranks = work.first_ranks;
    p.next_item = s.counter;
    p.partial = {reinterpret_cast<float *>(scratch + work.scratch.sums),
                 reinterpret_cast<float2 *>(scratch + work.scratch.scales), static_cast<int32_t>(args.d_v)};
    p.q_stride_batch = args.q_stride_batch;
    p.q_stride_head = args.q_stride_head;
    p.q_stride_row = args.q_stride_row;
    p.out_stride_batch = args.out_stride_batch;
    p.out_stride_row = args.out_stride_row;
    p.out_stride_head = args.out_stride_head;
    p.n_items = work.n_items;
    p.n_head = static_cast<int32_t>(args.n_head);
    p.n_head_kv = static_cast<int32_t>(args.n_head_kv);
    p.n_q = static_cast<int32_t>(args.n_q);
    p.d_qk = static_cast<int32_t>(args.d_qk);
    p.d_v = static_cast<int32_t>(args.d_v);
    // The smallest scale keeps -inf times it apart from 0 times -inf.
    const bool capped = args.logit_softcap > 0;
    p.scale_log2 = std::fmax((capped ? args.logit_softcap : std::fabs(args.scale)) * k_log2_e, 1e-30f);
    p.capped = capped;
    p.cap_scale = capped ? std::fabs(args.scale) / args.logit_softcap : 0.0f;
    p.q_sign = args.scale < 0 ? -1.0f : 1.0f;
    p.q_by_16 = reinterpret_cast<uintptr_t>(args.q) % 16 == 0 &&
                multiples_of(4, args.q_stride_batch, args.q_stride_head, args.q_stride_row);
    p.out_by_8 = reinterpret_cast<uintptr_t>(args.out) % 8 == 0 &&
                 multiples_of(2, args.out_stride_batch, args.out_stride_head, args.out_stride_row);
    const bool staged = work.n_staged_keys > 0;
    const attention_args read = args_as_read(args, work.n_staged_keys);
    p.k = staged ? scratch + work.scratch.k : args.k;
    p.v = staged ? scratch + work.scratch.v : args.v;
    p.n_kv = static_cast<int32_t>(read.n_kv);
    p.n_kv_batch = staged ? 1 : static_cast<int32_t>(args.n_batch);
    p.k_stride_batch = read.k_stride_batch;
    p.k_stride_head = read.k_stride_head;
    p.k_stride_row = read.k_stride_row;
    p.v_stride_batch = read.v_stride_batch;
    p.v_stride_head = read.v_stride_head;
    p.v_stride_row = read.v_stride_row;
    return p;
}

// Bits of the selected segments, and from them the walks of their items.
status enqueue_selection(const attention_args & args, const cuda_work & work, const kernel_params & params,
                         unsigned long long * kept, cudaStream_t stream) {
    attention_args read = args_as_read(args, work.n_staged_keys);
    read.k = params.k;
    read.v = params.v;
    const status selected = work.selector->select({read, work.selected, work.workspace, stream});
    if (!selected.ok()) {
        return selected;
    }
    const cudaError_t error = make_walks({work.walk_jobs, work.walk_job_items, work.bits, work.first_ranks, work.items,
                                          work.n_walk_jobs, work.variant->tile_keys, kept},
                                         stream);
    if (error != cudaSuccess) {
        return device_status(error, "making walks");
    }
    return {};
}

cudaError_t stage_both(const attention_args & args, const cuda_work & work, const cuda_context::state & s,
                       cudaStream_t stream) {
    const auto n_head = static_cast<int32_t>(args.n_head_kv);
    const stage_source k{args.k,
                         args.k_type,
                         args.k_stride_batch,
                         args.k_stride_head,
                         args.k_stride_row,
                         n_head,
                         static_cast<int32_t>(args.d_qk)};
    const stage_source v{args.v,
                         args.v_type,
                         args.v_stride_batch,
                         args.v_stride_head,
                         args.v_stride_row,
                         n_head,
                         static_cast<int32_t>(args.d_v)};
    if (const cudaError_t error =
            stage(k, work.jobs, work.n_jobs, work.cells, s.scratch.data() + work.scratch.k, stream);
        error != cudaSuccess) {
        return error;
    }
    return stage(v, work.jobs, work.n_jobs, work.cells, s.scratch.data() + work.scratch.v, stream);
}

}  // namespace

status cuda_attention_forward(const attention_args & args, const cuda_work & work, cuda_context & ctx, void * stream,
                              uint64_t * call) noexcept try {
    if (call != nullptr) {
        *call = 0;
    }
    cuda_context::state & s = ctx.internals();
    if (work.slabs != s.slabs) {
        return status::error(status_code::invalid_argument, "the work was prepared with another context");
    }
    if (status shape = validate_shape(args); !shape.ok()) {
        return shape;
    }
    if (const char * reason = cuda_declines(args); reason != nullptr) {
        return status::error(status_code::unsupported, "%s", reason);
    }
    if (const char * field = difference(args, work.shape); field != nullptr) {
        return status::error(status_code::invalid_argument, "%s is not what the work was prepared for", field);
    }
    if (work.n_items == 0) {
        return {};
    }
    if (status pointers = validate_pointers(args); !pointers.ok()) {
        return pointers;
    }
    if (work.n_staged_keys == 0 &&
        (reinterpret_cast<uintptr_t>(args.k) % 16 != 0 || reinterpret_cast<uintptr_t>(args.v) % 16 != 0)) {
        return status::error(status_code::invalid_argument, "k and v are less aligned than the work was prepared for");
    }
    const device_scope scope(s.device);
    if (scope.error() != cudaSuccess) {
        return device_status(scope.error(), "selecting the device");
    }
    const auto on = static_cast<cudaStream_t>(stream);
    if (status room = s.scratch.reserve(work.scratch.bytes, s.slabs->bytes(), s.limit, on); !room.ok()) {
        return room;
    }
    const kernel_params params = make_params(args, work, s);
    cudaError_t error = cudaSuccess;
    if (work.n_staged_keys > 0) {
        error = stage_both(args, work, s, on);
    }
    if (error == cudaSuccess && work.selector != nullptr) {
        unsigned long long * kept = call != nullptr ? s.counts.add(work.counted, on, *call) : nullptr;
        if (status selected = enqueue_selection(args, work, params, kept, on); !selected.ok()) {
            return selected;
        }
    }
    if (error == cudaSuccess) {
        error = work.variant->launch(params, {s.n_sm, on});
    }
    if (error == cudaSuccess && work.n_combines > 0) {
        error = combine(params, work.combines, work.n_combines, on);
    }
    if (error != cudaSuccess) {
        return device_status(error, "launching attention");
    }
    return {};
} catch (const std::bad_alloc &) {
    return status::error(status_code::out_of_memory, "no host memory to count pairs");
}

}  // namespace tmx
