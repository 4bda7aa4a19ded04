#include <algorithm>

#include "trianglemix/kernel_features.h"

namespace tmx {
namespace {

const char * text_of_type(dtype type) {
    switch (type) {
        case dtype::f32:
            return "f32 keys or values";
        case dtype::f16:
            return "f16 keys or values";
        case dtype::bf16:
            return "bf16 keys or values";
        case dtype::q8_0:
            return "q8_0 keys or values";
        case dtype::q4_0:
            return "q4_0 keys or values";
    }
    return "keys or values of no dtype";
}

bool whole_blocks(int64_t d, dtype type) {
    return d % block_elems(type) == 0;
}

}  // namespace

attention_needs needs_of(const attention_args & args, std::span<const attention_segment> segments) noexcept {
    return {
        .k_type = args.k_type,
        .v_type = args.v_type,
        .d_qk = args.d_qk,
        .d_v = args.d_v,
        .n_head = args.n_head,
        .n_head_kv = args.n_head_kv,
        .n_batch = args.n_batch,
        .n_q = args.n_q,
        .n_kv = args.n_kv,
        .logit_softcap = args.logit_softcap > 0,
        .sink_logit = args.sink_logit != nullptr,
        .alibi_slope = args.alibi_slope != nullptr,
        .masked_segments =
            std::any_of(segments.begin(), segments.end(), [](const attention_segment & s) { return s.masked; }),
    };
}

std::optional<feature_mismatch> first_mismatch(const kernel_features & has, const attention_needs & needs) noexcept {
    using enum attention_feature;
    for (const dtype type : {needs.k_type, needs.v_type}) {
        if (!has.kv_types.contains(type)) {
            return feature_mismatch{types, text_of_type(type)};
        }
    }
    if (!has.mixes_bf16 && (needs.k_type == dtype::bf16) != (needs.v_type == dtype::bf16)) {
        return feature_mismatch{types, "bf16 mixed with another type of keys or values"};
    }
    if (!has.dims.contains(needs.d_qk) || !has.dims.contains(needs.d_v)) {
        return feature_mismatch{dims, has.dims.text};
    }
    if (!whole_blocks(needs.d_qk, needs.k_type) || !whole_blocks(needs.d_v, needs.v_type)) {
        return feature_mismatch{dims, "head dimension is not a multiple of the type's block"};
    }
    if (needs.n_head < 1 || needs.n_head_kv < 1 || needs.n_head % needs.n_head_kv != 0) {
        return feature_mismatch{heads, "query heads are not a multiple of key heads"};
    }
    if (needs.logit_softcap && !has.logit_softcap) {
        return feature_mismatch{logit_softcap, "logit softcap"};
    }
    if (needs.sink_logit && !has.sink_logit) {
        return feature_mismatch{sink_logit, "sink logits"};
    }
    if (needs.alibi_slope && !has.alibi_slope) {
        return feature_mismatch{alibi_slope, "ALiBi slopes"};
    }
    if (std::max({needs.n_q, needs.n_kv, needs.n_head, needs.n_batch}) >= has.sizes.below) {
        return feature_mismatch{sizes, has.sizes.text};
    }
    if (needs.masked_segments && !has.masked_segments) {
        return feature_mismatch{masked_segments, "masked segment"};
    }
    return std::nullopt;
}

}  // namespace tmx
