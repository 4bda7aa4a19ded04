// The CPU's way of a selected layer: bits, lists, attention.
#include <exception>
#include <vector>

#include "select/methods.h"
#include "trianglemix/block_lists.h"

namespace tmx {
namespace {

bitmap_shape shape_of(const attention_args & args, const attention_segment & segment) {
    return {args.n_head, {segment.rank_begin, segment.rank_begin + segment.row_end - segment.row_begin}};
}

// Numbers of bits, and of pairs, that are computed here do not wrap around below that.
status check_countable(const bitmap_shape & shape) {
    constexpr int64_t k_most_keys = int64_t{1} << 31;
    constexpr int64_t k_most_heads = int64_t{1} << 16;
    if (shape.ranks.end > k_most_keys || shape.n_head > k_most_heads) {
        return status::error(status_code::unsupported, "blocks of %lld keys and %lld heads are not counted",
                             static_cast<long long>(shape.ranks.end), static_cast<long long>(shape.n_head));
    }
    return {};
}

// REQUIRES what select_blocks() checks.
status selected_bits(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits) {
    const status result = row_of_method(rule.method).on_cpu(rule, call, bits);
    if (result.ok()) {
        add_mandatory(bits);
    }
    return result;
}

// What the segment visits: the selected blocks, joined over groups where these share, and those of its band.
status visited_bits(const selection_request & request, const cpu_selection_call & call, block_bitmap & bits) {
    if (status s = selected_bits(request.rule, call, bits); !s.ok()) {
        return s;
    }
    if (!request.per_query_head) {
        bits = join_groups(bits, call.args.n_head_kv);
    }
    add_band(bits, call.segment.kept);
    return {};
}

int64_t pairs_of(const selection_request & request, const attention_args & args, const block_bitmap & visited) {
    return kept_pairs(visited) * (request.per_query_head ? 1 : args.n_head / args.n_head_kv);
}

// Whether the segment's blocks can be selected. REQUIRES check_sizes().
status check_selected(const attention_args & args, const attention_segment & segment) {
    if (segment.masked) {
        return status::error(status_code::invalid_argument, "a segment is masked, and selected");
    }
    return check_countable(shape_of(args, segment));
}

// All but pointers.
status check_request(const selection_request & request, const attention_args & args,
                     std::span<const attention_segment> segments) {
    if (status s = check_rule(request.rule); !s.ok()) {
        return s;
    }
    if (lacks_rotary(request.rule, request.rotary)) {
        return status::error(status_code::invalid_argument, "the method needs to know how RoPE pairs dimensions");
    }
    if (request.selected.size() != segments.size()) {
        return status::error(status_code::invalid_argument, "%zu marks of selection for %zu segments",
                             request.selected.size(), segments.size());
    }
    if (status s = check_sizes(args, segments); !s.ok()) {
        return s;
    }
    for (size_t i = 0; i < segments.size(); ++i) {
        if (request.selected[i] == 0) {
            continue;
        }
        if (status s = check_selected(args, segments[i]); !s.ok()) {
            return s;
        }
    }
    return {};
}

// Of one segment, for select_blocks().
status check_segment(const selection_rule & rule, const cpu_selection_call & call, const block_bitmap & bits) {
    constexpr uint8_t k_selected[] = {1};
    const attention_args & args = call.args;
    const attention_segment & segment = call.segment;
    const int32_t n_threads = call.n_threads;
    if (status s = check_request({rule, k_selected, false, call.options.rotary}, args, {&segment, 1}); !s.ok()) {
        return s;
    }
    if (n_threads < 1) {
        return status::error(status_code::invalid_argument, "n_threads is %d, must be at least 1", n_threads);
    }
    if (!row_of_method(rule.method).sees_sizes_only && (args.q == nullptr || args.k == nullptr)) {
        return status::error(status_code::invalid_argument, "q and k must not be null");
    }
    const bitmap_shape shape = shape_of(args, segment);
    if (bits.shape.n_head != shape.n_head || bits.shape.ranks.begin != shape.ranks.begin ||
        bits.shape.ranks.end != shape.ranks.end) {
        return status::error(status_code::invalid_argument, "bits are not of the segment's shape");
    }
    return {};
}

status no_memory() {
    return status::error(status_code::out_of_memory, "no memory to select blocks");
}

}  // namespace

status select_blocks(const selection_rule & rule, const attention_args & args, const attention_segment & segment,
                     int32_t n_threads, block_bitmap & bits, const selection_options & options) noexcept try {
    const cpu_selection_call call{args, segment, n_threads, options};
    if (status s = check_segment(rule, call, bits); !s.ok()) {
        return s;
    }
    return selected_bits(rule, call, bits);
} catch (const std::exception &) {
    return no_memory();
}

status selected_attention_forward(const selection_request & request, const attention_args & args,
                                  std::span<const attention_segment> segments, cpu_context & ctx,
                                  int64_t * kept) noexcept try {
    if (status s = check_request(request, args, segments); !s.ok()) {
        return s;
    }
    if (status s = check_call(args, {}); !s.ok()) {
        return s;
    }
    if (ctx.n_threads < 1) {
        return status::error(status_code::invalid_argument, "n_threads is %d, must be at least 1", ctx.n_threads);
    }
    std::vector<listed_bits> made;
    std::vector<block_lists> lists(segments.size());
    int64_t pairs = 0;
    for (size_t i = 0; i < segments.size(); ++i) {
        if (request.selected[i] == 0) {
            continue;
        }
        block_bitmap bits(shape_of(args, segments[i]));
        const cpu_selection_call call{args, segments[i], ctx.n_threads, {request.rotary, ctx.arithmetic, ctx.kernel}};
        if (status s = visited_bits(request, call, bits); !s.ok()) {
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
} catch (const std::exception &) {
    return no_memory();
}

std::optional<int64_t> pairs_known_ahead(const selection_request & request, const attention_args & args,
                                         std::span<const attention_segment> segments) noexcept try {
    if (!check_request(request, args, segments).ok() || !row_of_method(request.rule.method).sees_sizes_only) {
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
        if (!visited_bits(request, {one, segments[i], 1, {}}, bits).ok()) {
            return std::nullopt;
        }
        pairs += kept_pairs(bits);
    }
    return pairs * args.n_head;
} catch (const std::exception &) {
    return std::nullopt;
}

}  // namespace tmx
