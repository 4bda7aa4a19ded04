#include "random_cases.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <random>
#include <string>

namespace tmx::test {
namespace {

class dice {
  public:
    dice(uint64_t seed, int64_t index) : random_(seed * 1000003 + static_cast<uint64_t>(index)) {}

    int64_t between(int64_t low, int64_t high) {  // both included
        return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
    }
    bool once_in(int64_t n) { return between(1, n) == 1; }
    template <typename T, size_t N>
    T one_of(const T (&choices)[N]) {
        return choices[between(0, static_cast<int64_t>(N) - 1)];
    }

  private:
    std::mt19937_64 random_;
};

band random_band(dice & roll) {
    if (roll.once_in(4)) {
        return {};
    }
    return {roll.once_in(3) ? 0 : roll.between(1, 40), roll.once_in(6) ? 1 : roll.between(2, 150)};
}

// Segments of one batch; returns how many rows and keys they span.
void add_segments(test_case & c, dice & roll, int32_t batch, int64_t & n_q, int64_t & n_kv) {
    int64_t row = 0;
    int64_t key = 0;
    const int64_t n_segments = roll.between(1, 4);
    for (int64_t i = 0; i < n_segments; ++i) {
        case_segment segment;
        attention_segment & s = segment.rows;
        const int64_t n_rows = roll.once_in(3) ? 1 : roll.between(1, 100);
        row += roll.once_in(4) ? roll.between(1, 9) : 0;
        key += roll.once_in(2) ? roll.between(1, 70) : 0;
        s.batch = batch;
        s.row_begin = row;
        s.row_end = row + n_rows;
        s.masked = c.mask != mask_kind::none && roll.once_in(2);
        s.rank_begin = roll.once_in(3) ? 0 : roll.between(1, 200);
        s.key_begin = key;
        s.kept = random_band(roll);
        if (roll.once_in(5)) {
            segment.order = roll.once_in(2) ? cell_order::shuffled : cell_order::two_pieces;
        }
        row = s.row_end;
        key += s.rank_begin + n_rows;
        c.segments.push_back(segment);
    }
    n_q = std::max(n_q, row + (roll.once_in(3) ? roll.between(1, 5) : 0));
    n_kv = std::max(n_kv, key + (roll.once_in(3) ? roll.between(1, 90) : 0));
}

}  // namespace

test_case random_case(uint64_t seed, int64_t index) {
    constexpr dtype plain_types[] = {dtype::f32, dtype::f16, dtype::f16, dtype::bf16};
    constexpr dtype all_types[] = {dtype::f32, dtype::f16, dtype::bf16, dtype::q8_0, dtype::q4_0};
    constexpr mask_kind masks[] = {mask_kind::none,   mask_kind::none,  mask_kind::causal,
                                   mask_kind::random, mask_kind::alibi, mask_kind::sparse};
    constexpr layout layouts[] = {layout::head_major, layout::token_major, layout::padded};

    dice roll(seed, index);
    test_case c;
    c.name = "random_" + std::to_string(index);
    c.seed = seed + static_cast<uint64_t>(index);
    c.n_batch = roll.once_in(3) ? roll.between(2, 3) : 1;
    c.n_head_kv = roll.between(1, 3);
    c.n_head = c.n_head_kv * roll.between(1, 5);
    c.d_qk = 16 * roll.between(1, 16);
    c.d_v = roll.once_in(3) ? 16 * roll.between(1, 16) : c.d_qk;
    c.k_type = c.d_qk % 32 == 0 ? roll.one_of(all_types) : roll.one_of(plain_types);
    c.v_type = c.d_v % 32 == 0 ? roll.one_of(all_types) : roll.one_of(plain_types);
    c.q_layout = roll.one_of(layouts);
    c.kv_layout = roll.one_of(layouts);
    c.mask = roll.one_of(masks);
    c.mask_per_head = roll.once_in(3);
    c.mask_per_batch = roll.once_in(2);
    c.alibi_slopes = c.mask == mask_kind::alibi || roll.once_in(6);
    c.sink_logits = roll.once_in(4);
    c.dense_heads = roll.once_in(4);
    c.softcap = roll.once_in(4) ? static_cast<float>(roll.between(2, 50)) : 0.0f;
    c.lse = !roll.once_in(3);
    c.query_gain = roll.once_in(5) ? 12.0f : 1.0f;
    for (int64_t batch = 0; batch < c.n_batch; ++batch) {
        add_segments(c, roll, static_cast<int32_t>(batch), c.n_q, c.n_kv);
    }
    return c;
}

}  // namespace tmx::test
