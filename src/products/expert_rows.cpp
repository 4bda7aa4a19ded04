#include "products/expert_rows.h"

#include <algorithm>
#include <numeric>

namespace tmx {

status expert_rows::sort(const expert_choice & choice) {
    rows_.clear();
    ends_.assign(static_cast<size_t>(choice.n_experts), 0);
    const auto expert_at = [&](int64_t token, int64_t slot) {
        return choice.experts[token * choice.token_stride + slot];
    };
    for (int64_t token = 0; token < choice.n_tokens; ++token) {
        for (int64_t slot = 0; slot < choice.n_slots; ++slot) {
            const int32_t expert = expert_at(token, slot);
            if (expert < 0 || expert >= choice.n_experts) {
                return status::error(status_code::invalid_argument, "expert of token %lld, slot %lld: found %d of %lld",
                                     static_cast<long long>(token), static_cast<long long>(slot),
                                     static_cast<int>(expert), static_cast<long long>(choice.n_experts));
            }
            ++ends_[static_cast<size_t>(expert)];
        }
    }
    // Counts become where each expert's rows begin; filling them in moves that to where they end.
    std::exclusive_scan(ends_.begin(), ends_.end(), ends_.begin(), int64_t{0});
    rows_.resize(static_cast<size_t>(choice.n_tokens * choice.n_slots));
    for (int64_t token = 0; token < choice.n_tokens; ++token) {
        for (int64_t slot = 0; slot < choice.n_slots; ++slot) {
            int64_t & end = ends_[static_cast<size_t>(expert_at(token, slot))];
            rows_[static_cast<size_t>(end++)] = {token, slot};
        }
    }
    return {};
}

int64_t expert_rows::expert_of(int64_t index) const {
    return std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin();
}

int64_t expert_rows::stretch_end(int64_t begin, int64_t most) const {
    const auto beyond = std::upper_bound(ends_.begin(), ends_.end(), begin + most);
    const int64_t last = beyond == ends_.begin() ? 0 : *(beyond - 1);
    return last > begin ? last : begin + most;
}

}  // namespace tmx
