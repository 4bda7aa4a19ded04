#include "select/cpu/head_bits.h"

#include "select/head_parts.h"
#include "select/seconds.h"

namespace tmx {
namespace {

void keep_all(block_bitmap & bits, int64_t head) {
    for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
        for (int64_t word = 0; word < bits.shape.n_words(); ++word) {
            bits.of(head, tile)[word] = visible_bits(bits.shape.rows_of(tile), word);
        }
    }
}

void add_words(block_bitmap & to, int64_t head, const block_bitmap & from, int64_t from_head) {
    const int64_t n_words = to.shape.n_tiles() * to.shape.n_words();
    for (int64_t word = 0; word < n_words; ++word) {
        to.of(head, 0)[word] |= from.of(from_head, 0)[word];
    }
}

// What the heads of one rule keep.
status select_of_rule(const selection_request & request, const cpu_selection_call & call, int32_t number,
                      block_bitmap & bits) {
    const int64_t group = call.args.n_head / call.args.n_head_kv;
    const index_range key_heads = key_heads_of(request.heads, number, group);
    if (key_heads.empty()) {
        return {};
    }
    const selection_rule & rule = request.heads.rules[static_cast<size_t>(number)];
    const attention_args part = with_key_heads(call.args, key_heads);
    block_bitmap own({part.n_head, bits.shape.ranks});
    if (status s = row_of_method(rule.method).on_cpu(rule, {part, call.segment, call.n_threads}, own); !s.ok()) {
        return s;
    }
    const int64_t first = key_heads.begin * group;
    const auto has_rule = [&](int64_t head) { return request.heads.of_head[static_cast<size_t>(head)] == number; };
    for (int64_t head = first; head < first + part.n_head; ++head) {
        if (!has_rule(head)) {
            continue;
        }
        const int64_t begin = shares_blocks(request, rule) ? head / group * group : head;
        const int64_t end = shares_blocks(request, rule) ? begin + group : head + 1;
        for (int64_t other = begin; other < end; ++other) {
            if (has_rule(other)) {
                add_words(bits, head, own, other - first);
            }
        }
    }
    return {};
}

}  // namespace

status select_of_heads(const selection_request & request, const cpu_selection_call & call, uint8_t mark,
                       block_bitmap & bits, double * seconds) {
    for (int32_t rule = 0; rule < mark; ++rule) {
        const added_seconds taken(seconds != nullptr ? seconds + rule : nullptr);
        if (status s = select_of_rule(request, call, rule, bits); !s.ok()) {
            return s;
        }
    }
    for (int64_t head = 0; head < bits.shape.n_head; ++head) {
        if (request.heads.at(static_cast<size_t>(head), mark) == k_keeps_all) {
            keep_all(bits, head);
        }
    }
    return {};
}

}  // namespace tmx
