// skip_cases.h -- calls with a skip factor, for CPU and GPU: keys planted so low that they must be skipped (their
// values are NaN), others just high enough that they must not be, and keys as they come.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "compare.h"
#include "number_formats.h"
#include "oracle.h"
#include "plain.h"
#include "problem.h"
#include "random_lists.h"

namespace tmx::test {

struct skip_case {
    std::string name;
    test_case c;  // one_chunk()
    float factor = 4;
    bool listed = false;  // by random lists of 64 keys
};

// How far below the largest logit a row of the case's first rank, or last, must find a tile's to skip it.
inline float skip_distance(const skip_case & s, bool last) {
    const int64_t n_keys = last ? s.c.n_kv : s.c.n_kv - s.c.n_q + 1;
    return std::log(static_cast<float>(n_keys) / s.factor);
}

// Rows of 128 keys' tiles: [128, 256) too low for every row, and the first tile so high that nobody may skip it. Short
// enough that no CUDA kernel splits it over its keys: a part that begins among the low ones would have to read them.
inline skip_case planted_case(const std::string & name, int64_t dim) {
    skip_case s{name, one_chunk(dim > 128 ? 256 : 600, dim > 128 ? 128 : 130, {}), 4, false};
    s.c.d_qk = s.c.d_v = dim;
    s.c.query_gain = 0.1f;
    s.c.planted = {{0, 128, -skip_distance(s, false) + 1.2f, false}, {128, 256, -skip_distance(s, true) - 1.2f, true}};
    return s;
}

// Logits of deviation 6, of which many lie below lambda and few tiles whole.
inline skip_case random_case(const std::string & name, float factor) {
    skip_case s{name, one_chunk(1000, 150, {}), factor, false};
    s.c.query_gain = 6;
    s.c.n_head_kv = 4;
    return s;
}

inline std::vector<skip_case> skip_cases() {
    std::vector<skip_case> cases;
    for (const int64_t dim : {64, 96, 128, 256}) {
        cases.push_back(planted_case("dim_" + std::to_string(dim), dim));
        cases.back().c.k_type = cases.back().c.v_type = dtype::bf16;
        cases.back().name += "_bf16";
        cases.push_back(planted_case("dim_" + std::to_string(dim), dim));
    }
    const auto planted = [&](const char * name, auto change) {
        cases.push_back(planted_case(name, 128));
        change(cases.back());
    };
    planted("d_v_32", [](skip_case & s) { s.c.d_v = 32; });
    planted("q8_0", [](skip_case & s) { s.c.k_type = s.c.v_type = dtype::q8_0; });
    planted("one_head_a_key_head", [](skip_case & s) { s.c.n_head_kv = 8; });
    planted("seven_heads_a_key_head", [](skip_case & s) {
        s.c.n_head = 7;
        s.c.n_head_kv = 1;
    });
    planted("cells", [](skip_case & s) { s.c.segments[0].order = cell_order::shuffled; });
    planted("sinks", [](skip_case & s) { s.c.sink_logits = true; });
    planted("softcap", [](skip_case & s) { s.c.softcap = 50; });
    planted("negative_scale", [](skip_case & s) {
        s.c.scale_factor = -1;
        for (planted_keys & keys : s.c.planted) {
            keys.logit = -keys.logit;
        }
    });
    // Tiles start anywhere: the low keys' values may be read.
    planted("band", [](skip_case & s) {
        s.c.segments[0].rows.kept = {8, 500};
        s.c.planted[1] = {128, 500, s.c.planted[1].logit, false};
    });
    planted("lists", [](skip_case & s) {
        s.listed = true;
        s.c.planted[1].poisoned = false;
    });
    // Long enough to be split, on a GPU.
    planted("long", [](skip_case & s) {
        s.c = one_chunk(5000, 60, {});
        s.c.query_gain = 0.1f;
        s.c.planted = {{0, 2000, -skip_distance(s, false) + 1.2f, false},
                       {2000, 4000, -skip_distance(s, true) - 1.2f, false}};
    });
    cases.push_back(random_case("random_keys", 100));
    cases.push_back(random_case("random_keys_and_sinks", 100));
    cases.back().c.sink_logits = true;
    cases.push_back(random_case("factor_beyond_all_keys", 1e9f));
    cases.push_back(random_case("tiny_factor", 1e-30f));
    return without_most_if_reduced(std::move(cases));
}

// The call as the oracle sees it: by its mask, which drops planted keys that nobody may read.
class skip_oracle {
  public:
    skip_oracle(const skip_case & s, const problem & p)
        : c_(s.c), lists_(s.c, {64, false, 0, false}), listed_(s.listed) {
        const attention_segment & rows = p.segments[0];
        mask_ = lists_.mask(rows.cells);
        for (int64_t head = 0; head < c_.n_head; ++head) {
            for (int64_t row = 0; row < c_.n_q; ++row) {
                for (int64_t rank = 0; rank < c_.n_kv; ++rank) {
                    uint16_t & bits = mask_[static_cast<size_t>((head * c_.n_q + row) * c_.n_kv +
                                                                (rows.cells != nullptr ? rows.cells[rank] : rank))];
                    if (!listed_) {
                        bits = keeps(rows.kept, row, rank) ? 0 : f32_to_f16(-std::numeric_limits<float>::infinity());
                    }
                }
            }
        }
        segments_ = p.segments;
        segments_[0].masked = true;
        args_ = p.args;
        args_.skip_factor = s.factor;
        rows_ = oracle_attention(with_mask(args_), segments_, k_row_step);
        allow_skips(with_mask(args_), segments_[0], rows_);
    }
    skip_oracle(const skip_oracle &) = delete;
    skip_oracle & operator=(const skip_oracle &) = delete;

    // Empty if `output` is what the call may give. `plain`: of the same shape.
    std::string check(const attention_args & output, call_output & plain, rounding operands) const {
        plain_attention(with_mask(plain.args), segments_, operands, k_row_step);
        return compare(rows_, plain.args, output, operands).failure;
    }

    std::span<const block_lists> lists() const {
        return listed_ ? std::span<const block_lists>(&lists_.lists(), 1) : std::span<const block_lists>();
    }

    // Whether some row may leave out something.
    bool may_skip() const {
        return std::any_of(rows_.begin(), rows_.end(), [](const oracle_row & row) { return row.may_leave_out > 0; });
    }

  private:
    static constexpr int64_t k_row_step = 13;

    bool keeps(const band & kept, int64_t row, int64_t rank) const {
        const int64_t own = c_.n_kv - c_.n_q + row;
        for (const planted_keys & planted : c_.planted) {
            if (planted.poisoned && rank >= planted.first_rank && rank < planted.end_rank) {
                return false;
            }
        }
        return rank <= own && (rank < kept.n_sink || own - rank < kept.n_window);
    }

    attention_args with_mask(attention_args args) const {
        args.mask = mask_.data();
        args.mask_stride_row = c_.n_kv;
        args.mask_stride_head = c_.n_q * c_.n_kv;
        return args;
    }

    const test_case & c_;
    random_lists lists_;
    bool listed_;
    std::vector<uint16_t> mask_;
    std::vector<attention_segment> segments_;
    attention_args args_;
    std::vector<oracle_row> rows_;
};

}  // namespace tmx::test
