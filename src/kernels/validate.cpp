#include "kernels/validate.h"

#include <cmath>

#include "trianglemix/kernel_features.h"

namespace tmx {
namespace {

#define TMX_REQUIRE(condition, ...)                                           \
    do {                                                                      \
        if (!(condition)) {                                                   \
            return status::error(status_code::invalid_argument, __VA_ARGS__); \
        }                                                                     \
    } while (false)

status validate_segment(const attention_args & a, const attention_segment & s, size_t i);

}  // namespace

status validate_pointers(const attention_args & a) {
    TMX_REQUIRE(a.q != nullptr && a.k != nullptr && a.v != nullptr && a.out != nullptr,
                "q, k, v and out must not be null");
    return {};
}

status validate_shape(const attention_args & a) {
    TMX_REQUIRE(a.n_batch >= 1, "n_batch is %lld, must be at least 1", static_cast<long long>(a.n_batch));
    TMX_REQUIRE(a.n_head >= 1 && a.n_head_kv >= 1 && a.n_head % a.n_head_kv == 0,
                "n_head is %lld, n_head_kv %lld: must be positive, the first a multiple of the second",
                static_cast<long long>(a.n_head), static_cast<long long>(a.n_head_kv));
    TMX_REQUIRE(a.n_q >= 0 && a.n_kv >= 0, "n_q is %lld, n_kv %lld: must not be negative",
                static_cast<long long>(a.n_q), static_cast<long long>(a.n_kv));
    TMX_REQUIRE(k_head_dims.contains(a.d_qk) && k_head_dims.contains(a.d_v),
                "d_qk is %lld, d_v %lld: must be multiples of %lld in %lld..%lld", static_cast<long long>(a.d_qk),
                static_cast<long long>(a.d_v), static_cast<long long>(k_head_dims.step),
                static_cast<long long>(k_head_dims.least), static_cast<long long>(k_head_dims.most));
    TMX_REQUIRE(std::isfinite(a.scale), "scale is %g, must be finite", static_cast<double>(a.scale));
    TMX_REQUIRE(std::isfinite(a.logit_softcap) && a.logit_softcap >= 0, "logit_softcap is %g, must be finite and >= 0",
                static_cast<double>(a.logit_softcap));
    TMX_REQUIRE(std::isfinite(a.skip_factor) && a.skip_factor >= 0, "skip_factor is %g, must be finite and >= 0",
                static_cast<double>(a.skip_factor));
    TMX_REQUIRE(block_bytes(a.k_type) != 0, "k_type is %d, not a dtype", static_cast<int>(a.k_type));
    TMX_REQUIRE(block_bytes(a.v_type) != 0, "v_type is %d, not a dtype", static_cast<int>(a.v_type));
    const int64_t k_block = block_elems(a.k_type);
    const int64_t v_block = block_elems(a.v_type);
    TMX_REQUIRE(a.k_stride_batch % k_block == 0 && a.k_stride_head % k_block == 0 && a.k_stride_row % k_block == 0 &&
                    a.d_qk % k_block == 0,
                "k strides (%lld, %lld, %lld) and d_qk %lld must be multiples of its block of %lld",
                static_cast<long long>(a.k_stride_batch), static_cast<long long>(a.k_stride_head),
                static_cast<long long>(a.k_stride_row), static_cast<long long>(a.d_qk),
                static_cast<long long>(k_block));
    TMX_REQUIRE(a.v_stride_batch % v_block == 0 && a.v_stride_head % v_block == 0 && a.v_stride_row % v_block == 0 &&
                    a.d_v % v_block == 0,
                "v strides (%lld, %lld, %lld) and d_v %lld must be multiples of its block of %lld",
                static_cast<long long>(a.v_stride_batch), static_cast<long long>(a.v_stride_head),
                static_cast<long long>(a.v_stride_row), static_cast<long long>(a.d_v), static_cast<long long>(v_block));
    return {};
}

status validate_segments(const attention_args & a, std::span<const attention_segment> segments) {
    for (size_t i = 0; i < segments.size(); ++i) {
        if (status s = validate_segment(a, segments[i], i); !s.ok()) {
            return s;
        }
    }
    return {};
}

namespace {

status validate_segment(const attention_args & a, const attention_segment & s, size_t i) {
    TMX_REQUIRE(s.batch >= 0 && s.batch < a.n_batch, "segment %zu: batch is %d, must be in [0, %lld)", i, s.batch,
                static_cast<long long>(a.n_batch));
    TMX_REQUIRE(0 <= s.row_begin && s.row_begin <= s.row_end && s.row_end <= a.n_q,
                "segment %zu: rows [%lld, %lld) are not inside [0, %lld)", i, static_cast<long long>(s.row_begin),
                static_cast<long long>(s.row_end), static_cast<long long>(a.n_q));
    if (s.masked) {
        TMX_REQUIRE(a.mask != nullptr, "segment %zu is masked, but mask is null", i);
        return {};
    }
    TMX_REQUIRE(s.kept.n_sink >= 0 && s.kept.n_window >= 1,
                "segment %zu: n_sink is %lld (must be >= 0), n_window %lld (must be >= 1)", i,
                static_cast<long long>(s.kept.n_sink), static_cast<long long>(s.kept.n_window));
    // Bounds are compared by subtraction: a rank or key near the largest integer must not wrap around.
    const int64_t n_rows = s.row_end - s.row_begin;
    TMX_REQUIRE(s.rank_begin >= 0 && s.rank_begin <= a.n_kv - n_rows,
                "segment %zu: rank_begin %lld and %lld rows do not fit into n_kv = %lld keys", i,
                static_cast<long long>(s.rank_begin), static_cast<long long>(n_rows), static_cast<long long>(a.n_kv));
    const int64_t n_keys = s.rank_begin + n_rows;
    if (s.cells == nullptr) {
        TMX_REQUIRE(s.key_begin >= 0 && s.key_begin <= a.n_kv - n_keys,
                    "segment %zu: key_begin %lld and %lld keys do not fit into n_kv = %lld", i,
                    static_cast<long long>(s.key_begin), static_cast<long long>(n_keys),
                    static_cast<long long>(a.n_kv));
        return {};
    }
    for (int64_t rank = 0; rank < n_keys; ++rank) {
        TMX_REQUIRE(s.cells[rank] >= 0 && s.cells[rank] < a.n_kv, "segment %zu: cells[%lld] is %d, not in [0, %lld)", i,
                    static_cast<long long>(rank), s.cells[rank], static_cast<long long>(a.n_kv));
    }
    return {};
}

}  // namespace

#undef TMX_REQUIRE

status validate(const attention_args & args, std::span<const attention_segment> segments, const cpu_context & ctx) {
    if (ctx.n_threads < 1) {
        return status::error(status_code::invalid_argument, "n_threads is %d, must be at least 1", ctx.n_threads);
    }
    return check_call(args, segments);
}

status check_sizes(const attention_args & args, std::span<const attention_segment> segments) noexcept {
    if (status s = validate_shape(args); !s.ok()) {
        return s;
    }
    return validate_segments(args, segments);
}

status check_call(const attention_args & args, std::span<const attention_segment> segments) noexcept {
    if (status s = validate_pointers(args); !s.ok()) {
        return s;
    }
    return check_sizes(args, segments);
}

}  // namespace tmx
