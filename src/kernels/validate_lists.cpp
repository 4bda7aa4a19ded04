#include <bit>

#include "kernels/validate.h"

namespace tmx {

status validate_lists(const attention_args & args, std::span<const attention_segment> segments,
                      std::span<const block_lists> lists) {
    if (!lists.empty() && lists.size() != segments.size()) {
        return status::error(status_code::invalid_argument, "%zu block lists for %zu segments", lists.size(),
                             segments.size());
    }
    for (size_t i = 0; i < lists.size(); ++i) {
        const block_lists & l = lists[i];
        if (l.begin == nullptr) {
            continue;
        }
        if (segments[i].masked) {
            return status::error(status_code::invalid_argument, "block list %zu: its segment is masked", i);
        }
        if (l.block_keys < k_least_block_keys || !std::has_single_bit(static_cast<uint64_t>(l.block_keys)) ||
            l.list_rows < 1) {
            return status::error(
                status_code::invalid_argument,
                "block list %zu: block_keys is %lld (a power of two, at least %lld), list_rows %lld (>= 1)", i,
                static_cast<long long>(l.block_keys), static_cast<long long>(k_least_block_keys),
                static_cast<long long>(l.list_rows));
        }
        const int64_t n_rows = segments[i].row_end - segments[i].row_begin;
        const int64_t n_lists = lists_of(l, n_rows) * (l.per_query_head ? args.n_head : args.n_head_kv);
        for (int64_t list = 0; list < n_lists; ++list) {
            if (l.begin[list + 1] < l.begin[list]) {
                return status::error(status_code::invalid_argument, "block list %zu: list %lld ends before it begins",
                                     i, static_cast<long long>(list));
            }
            int64_t end = 0;
            for (int64_t block = l.begin[list]; block < l.begin[list + 1]; ++block) {
                if (l.first_rank[block] < end) {
                    return status::error(status_code::invalid_argument,
                                         "block list %zu: blocks of list %lld are not ascending and disjoint", i,
                                         static_cast<long long>(list));
                }
                end = l.first_rank[block] + l.block_keys;
            }
        }
    }
    return {};
}

}  // namespace tmx
