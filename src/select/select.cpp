// The CPU's way of a selected layer: bits, lists, attention.
#include <new>
#include <vector>

#include "select/methods.h"
#include "trianglemix/block_lists.h"

namespace tmx {
namespace {

bitmap_shape shape_of(const attention_args & args, const attention_segment & segment) {
    return {args.n_head, {segment.rank_begin, segment.rank_begin + segment.row_end - segment.row_begin}};
}

// What the segment visits: the selected blocks, joined over groups where these share, and those of its band.
status visited_bits(const selection_request & request, const attention_args & args, const attention_segment & segment,
                    int32_t n_threads, block_bitmap & bits) {
    if (status s = select_blocks(request.rule, args, segment, n_threads, bits); !s.ok()) {
        return s;
    }
    if (!request.per_query_head) {
        bits = join_groups(bits, args.n_head_kv);
    }
    add_band(bits, segment.kept);
    return {};
}

int64_t pairs_of(const selection_request & request, const attention_args & args, const block_bitmap & visited) {
    return kept_pairs(visited) * (request.per_query_head ? 1 : args.n_head / args.n_head_kv);
}

status validate_request(const selection_request & request, std::span<const attention_segment> segments) {
    if (request.rule.method < 0 || request.rule.method >= selection_methods()) {
        return status::error(status_code::invalid_argument, "method is %d, must be in [0, %d)", request.rule.method,
                             selection_methods());
    }
    if (request.selected.size() != segments.size()) {
        return status::error(status_code::invalid_argument, "%zu marks of selection for %zu segments",
                             request.selected.size(), segments.size());
    }
    for (size_t i = 0; i < segments.size(); ++i) {
        const attention_segment & s = segments[i];
        if (request.selected[i] != 0 && (s.masked || s.rank_begin < 0 || s.row_begin > s.row_end)) {
            return status::error(status_code::invalid_argument, "segment %zu is masked, and selected", i);
        }
    }
    return {};
}

}  // namespace

status select_blocks(const selection_rule & rule, const attention_args & args, const attention_segment & segment,
                     int32_t n_threads, block_bitmap & bits) noexcept try {
    const status result = row_of_method(rule.method).on_cpu(rule, {args, segment, n_threads}, bits);
    if (result.ok()) {
        add_mandatory(bits);
    }
    return result;
} catch (const std::bad_alloc &) {
    return status::error(status_code::out_of_memory, "no memory to select blocks");
}

status selected_attention_forward(const selection_request & request, const attention_args & args,
                                  std::span<const attention_segment> segments, cpu_context & ctx,
                                  int64_t * kept) noexcept try {
    if (status s = validate_request(request, segments); !s.ok()) {
        return s;
    }
    std::vector<listed_bits> made;
    std::vector<block_lists> lists(segments.size());
    int64_t pairs = 0;
    for (size_t i = 0; i < segments.size(); ++i) {
        if (request.selected[i] == 0) {
            continue;
        }
        block_bitmap bits(shape_of(args, segments[i]));
        if (status s = visited_bits(request, args, segments[i], ctx.n_threads, bits); !s.ok()) {
            return s;
        }
        pairs += pairs_of(request, args, bits);
        lists[i] = made.emplace_back(bits, request.per_query_head).lists();
    }
    const status result = attention_forward(args, segments, ctx, lists);
    if (result.ok() && kept != nullptr) {
        *kept += pairs;
    }
    return result;
} catch (const std::bad_alloc &) {
    return status::error(status_code::out_of_memory, "no memory for lists of selected blocks");
}

std::optional<int64_t> pairs_known_ahead(const selection_request & request, const attention_args & args,
                                         std::span<const attention_segment> segments) noexcept try {
    if (!validate_request(request, segments).ok() || !row_of_method(request.rule.method).sees_sizes_only) {
        return std::nullopt;
    }
    // All heads have the same bits: one stands for all.
    attention_args one = args;
    one.n_head = one.n_head_kv = 1;
    int64_t pairs = 0;
    for (size_t i = 0; i < segments.size(); ++i) {
        if (request.selected[i] == 0) {
            continue;
        }
        block_bitmap bits(shape_of(one, segments[i]));
        if (!visited_bits(request, one, segments[i], 1, bits).ok()) {
            return std::nullopt;
        }
        pairs += kept_pairs(bits);
    }
    return pairs * args.n_head;
} catch (const std::bad_alloc &) {
    return std::nullopt;
}

}  // namespace tmx
