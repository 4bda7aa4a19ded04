// Where the heads of a call select by several rules: the part of the call that a rule is asked about.
#pragma once

#include "trianglemix/selection.h"

namespace tmx {

// From the first to behind the last key head in whose group a head has that rule; empty if none has.
inline index_range key_heads_of(const head_selections & heads, int32_t rule, int64_t group) {
    index_range found;
    for (size_t head = 0; head < heads.of_head.size(); ++head) {
        if (heads.of_head[head] == rule) {
            const int64_t key_head = static_cast<int64_t>(head) / group;
            found = {found.empty() ? key_head : found.begin, key_head + 1};
        }
    }
    return found;
}

// The call of these key heads and of their groups' query heads: what selection reads of a call.
inline attention_args with_key_heads(attention_args args, index_range key_heads) {
    const int64_t group = args.n_head / args.n_head_kv;
    const int64_t first = key_heads.begin * group;
    const auto moved = [&](const void * data, dtype type, int64_t stride) -> const void * {
        const int64_t bytes = key_heads.begin * stride / block_elems(type) * block_bytes(type);
        return data != nullptr ? static_cast<const char *>(data) + bytes : nullptr;
    };
    args.q = args.q != nullptr ? args.q + first * args.q_stride_head : nullptr;
    args.k = moved(args.k, args.k_type, args.k_stride_head);
    args.v = moved(args.v, args.v_type, args.v_stride_head);
    args.sink_logit = args.sink_logit != nullptr ? args.sink_logit + first : nullptr;
    args.alibi_slope = args.alibi_slope != nullptr ? args.alibi_slope + first : nullptr;
    args.dense_head = args.dense_head != nullptr ? args.dense_head + first : nullptr;
    args.out = args.lse = nullptr;
    args.mask = nullptr;
    args.n_head = key_heads.size() * group;
    args.n_head_kv = key_heads.size();
    return args;
}

// Whether the heads of a group that select by this rule share their blocks.
inline bool shares_blocks(const selection_request & request, const selection_rule & rule) {
    return request.per_query_head && !selection_method_of(rule.method).per_query_head;
}

}  // namespace tmx
