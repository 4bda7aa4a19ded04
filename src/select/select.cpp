// The CPU's way of a selected layer: bits, lists, attention.
#include <bit>
#include <exception>
#include <vector>

#include "select/cpu/head_bits.h"
#include "select/methods.h"
#include "select/seconds.h"
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
status selected_bits(const selection_rule & rule, const attention_args & args, const attention_segment & segment,
                     int32_t n_threads, block_bitmap & bits) {
    const status result = row_of_method(rule.method).on_cpu(rule, {args, segment, n_threads}, bits);
    if (result.ok()) {
        add_mandatory(bits);
    }
    return result;
}

// What the segment visits: the selected blocks, joined over groups where these share, and those of its band.
status visited_bits(const selection_request & request, const attention_args & args, const attention_segment & segment,
                    uint8_t mark, int32_t n_threads, block_bitmap & bits, double * seconds) {
    if (request.heads_differ()) {
        if (status s = select_of_heads(request, {args, segment, n_threads}, mark, bits, seconds); !s.ok()) {
            return s;
        }
        add_mandatory(bits);
    } else {
        const added_seconds taken(seconds);
        if (status s = selected_bits(request.rule, args, segment, n_threads, bits); !s.ok()) {
            return s;
        }
    }
    const added_seconds taken(seconds);
    if (!request.per_query_head) {
        bits = join_groups(bits, args.n_head_kv);
    }
    add_band(bits, segment.kept);
    return {};
}

int64_t pairs_of_head(const block_bitmap & visited, int64_t head) {
    int64_t pairs = 0;
    for (int64_t tile = 0; tile < visited.shape.n_tiles(); ++tile) {
        const uint32_t * words = visited.of(head, tile);
        int64_t n_blocks = 0;
        for (int64_t word = 0; word < visited.shape.n_words(); ++word) {
            n_blocks += std::popcount(words[word]);
        }
        pairs += pairs_in_blocks(visited.shape.rows_of(tile), n_blocks);
    }
    return pairs;
}

// Adds to kept[] what the heads of a segment keep. `visited` is of query heads or of key heads.
void add_pairs(const selection_request & request, const attention_args & args, uint8_t mark,
               const block_bitmap & visited, int64_t * kept) {
    const int64_t sharing = args.n_head / visited.shape.n_head;
    for (int64_t head = 0; head < visited.shape.n_head; ++head) {
        const int64_t pairs = pairs_of_head(visited, head);
        for (int64_t query_head = head * sharing; query_head < (head + 1) * sharing; ++query_head) {
            kept[request.sum_of(static_cast<size_t>(query_head), mark)] += pairs;
        }
    }
}

// Whether the segment's blocks can be selected. REQUIRES check_sizes().
status check_selected(const attention_args & args, const attention_segment & segment) {
    if (segment.masked) {
        return status::error(status_code::invalid_argument, "a segment is masked, and selected");
    }
    return check_countable(shape_of(args, segment));
}

status check_heads(const selection_request & request, const attention_args & args) {
    const head_selections & heads = request.heads;
    if (static_cast<int64_t>(heads.of_head.size()) != args.n_head) {
        return status::error(status_code::invalid_argument, "%zu rules of heads for %lld heads", heads.of_head.size(),
                             static_cast<long long>(args.n_head));
    }
    if (heads.rules.empty() || heads.rules.size() > k_most_rules) {
        return status::error(status_code::invalid_argument, "%zu rules, must be in [1, %zu]", heads.rules.size(),
                             k_most_rules);
    }
    for (const int32_t rule : heads.of_head) {
        if (rule < k_keeps_band || rule >= static_cast<int32_t>(heads.rules.size())) {
            return status::error(status_code::invalid_argument, "a head has rule %d of %zu", rule, heads.rules.size());
        }
    }
    if (heads.otherwise != k_keeps_all && heads.otherwise != k_keeps_band) {
        return status::error(status_code::invalid_argument, "heads have rule %d otherwise", heads.otherwise);
    }
    for (const uint8_t mark : request.selected) {
        if (mark > heads.rules.size()) {
            return status::error(status_code::invalid_argument, "mark %d for %zu rules", mark, heads.rules.size());
        }
    }
    return {};
}

status check_rules(const selection_request & request) {
    const std::span<const selection_rule> one(&request.rule, 1);
    for (const selection_rule & rule : request.heads_differ() ? request.heads.rules : one) {
        if (status s = check_rule(rule); !s.ok()) {
            return s;
        }
    }
    return {};
}

// All but pointers.
status check_request(const selection_request & request, const attention_args & args,
                     std::span<const attention_segment> segments) {
    if (status s = check_rules(request); !s.ok()) {
        return s;
    }
    if (request.selected.size() != segments.size()) {
        return status::error(status_code::invalid_argument, "%zu marks of selection for %zu segments",
                             request.selected.size(), segments.size());
    }
    if (status s = check_sizes(args, segments); !s.ok()) {
        return s;
    }
    if (request.heads_differ()) {
        if (status s = check_heads(request, args); !s.ok()) {
            return s;
        }
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
status check_segment(const selection_rule & rule, const attention_args & args, const attention_segment & segment,
                     int32_t n_threads, const block_bitmap & bits) {
    constexpr uint8_t k_selected[] = {1};
    if (status s = check_request({.rule = rule, .selected = k_selected}, args, {&segment, 1}); !s.ok()) {
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
                     int32_t n_threads, block_bitmap & bits) noexcept try {
    if (status s = check_segment(rule, args, segment, n_threads, bits); !s.ok()) {
        return s;
    }
    return selected_bits(rule, args, segment, n_threads, bits);
} catch (const std::exception &) {
    return no_memory();
}

status selected_attention_forward(const selection_request & request, const attention_args & args,
                                  std::span<const attention_segment> segments, cpu_context & ctx, int64_t * kept,
                                  double * seconds) noexcept try {
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
    std::vector<int64_t> pairs(request.n_sums());
    for (size_t i = 0; i < segments.size(); ++i) {
        const uint8_t mark = request.selected[i];
        if (mark == 0) {
            continue;
        }
        block_bitmap bits(shape_of(args, segments[i]));
        if (status s = visited_bits(request, args, segments[i], mark, ctx.n_threads, bits, seconds); !s.ok()) {
            return s;
        }
        const added_seconds taken(seconds);
        add_pairs(request, args, mark, bits, pairs.data());
        lists[i] = made.emplace_back(bits, request.per_query_head).lists();
    }
    const status result = attention_forward(args, segments, ctx, lists);
    for (size_t i = 0; i < pairs.size() && result.ok() && kept != nullptr; ++i) {
        kept[i] += pairs[i];
    }
    return result;
} catch (const std::exception &) {
    return no_memory();
}

std::optional<int64_t> pairs_known_ahead(const selection_request & request, const attention_args & args,
                                         std::span<const attention_segment> segments) noexcept try {
    if (request.heads_differ() || !check_request(request, args, segments).ok() ||
        !row_of_method(request.rule.method).sees_sizes_only) {
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
        if (!visited_bits(request, one, segments[i], 1, 1, bits, nullptr).ok()) {
            return std::nullopt;
        }
        pairs += kept_pairs(bits);
    }
    return pairs * args.n_head;
} catch (const std::exception &) {
    return std::nullopt;
}

}  // namespace tmx
