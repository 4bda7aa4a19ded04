#include "problem.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <random>

#include "number_formats.h"

namespace tmx::test {
namespace {

constexpr int64_t k_huge_stride = (int64_t{1} << 31) + 64;

// About normal, mean 0, deviation 1, the same on every platform.
class noise {
  public:
    explicit noise(uint64_t seed) : random_(seed) {}

    uint64_t below(uint64_t n) { return random_() % n; }
    float uniform() { return static_cast<float>(static_cast<double>(random_() >> 11) * 0x1p-53); }
    float normal() { return (uniform() + uniform() + uniform() + uniform() - 2.0f) * 1.7320508f; }

  private:
    std::mt19937_64 random_;
};

struct tensor_strides {
    int64_t batch = 0;
    int64_t head = 0;
    int64_t row = 0;
    int64_t n_elems = 0;
};

tensor_strides strides_of(layout order, int64_t n_batch, int64_t n_head, int64_t n_row, int64_t dim, dtype type) {
    const int64_t pad = block_elems(type) == 1 ? 5 : 32;  // 5 leaves rows aligned to their element only
    tensor_strides s;
    switch (order) {
        case layout::head_major:
            s.row = dim;
            s.head = n_row * s.row;
            s.batch = n_head * s.head;
            break;
        case layout::token_major:
            s.head = dim;
            s.row = n_head * dim;
            s.batch = n_row * s.row;
            break;
        case layout::padded:
            s.row = dim + pad;
            s.head = n_row * s.row + pad;
            s.batch = n_head * s.head + 3 * pad;
            break;
        case layout::huge:
            s.head = dim;
            s.row = k_huge_stride;
            s.batch = n_row * s.row;
            break;
    }
    s.n_elems = (n_batch - 1) * s.batch + (n_head - 1) * s.head + (n_row - 1) * s.row + dim;
    return s;
}

guarded_buffer allocate(layout order, int64_t n_elems, dtype type) {
    const auto bytes = static_cast<size_t>(n_elems / block_elems(type) * block_bytes(type));
    return order == layout::huge ? guarded_buffer::sparse(bytes) : guarded_buffer(bytes);
}

void make_cells(const test_case & c, problem & p, noise & random) {
    for (const case_segment & source : c.segments) {
        attention_segment segment = source.rows;
        if (source.order != cell_order::stretch) {
            const int64_t n_ranks = segment.rank_begin + segment.row_end - segment.row_begin;
            guarded_buffer list(static_cast<size_t>(n_ranks) * sizeof(int32_t));
            std::vector<int32_t> order(static_cast<size_t>(c.n_kv));
            std::iota(order.begin(), order.end(), 0);
            if (source.order == cell_order::shuffled) {
                for (size_t i = order.size() - 1; i > 0; --i) {
                    std::swap(order[i], order[random.below(i + 1)]);
                }
            } else {  // the first half of the ranks lies at the axis' end
                std::rotate(order.begin(), order.end() - n_ranks / 2, order.end());
            }
            std::copy_n(order.begin(), n_ranks, list.as<int32_t>());
            segment.cells = list.as<int32_t>();
            p.cells.push_back(std::move(list));
        }
        p.segments.push_back(segment);
    }
}

float mask_value(const test_case & c, int64_t row, int64_t key, noise & random) {
    const float dropped = -std::numeric_limits<float>::infinity();
    const int64_t own = c.n_kv - c.n_q + row;
    const float draw = random.uniform();
    switch (c.mask) {
        case mask_kind::causal:
            return key <= own ? 0.0f : dropped;
        case mask_kind::random:
            return draw < 0.5f ? dropped : random.normal();
        case mask_kind::sparse:
            return row % 3 != 1 && draw < 1.0f / 16 ? 0.0f : dropped;
        case mask_kind::alibi:
            return key <= own ? static_cast<float>(key - own) : dropped;
        case mask_kind::far_gap:
            return key <= own && (key < 40 || key >= c.n_kv - 300) ? 0.0f : dropped;
        case mask_kind::all_dropped:
        case mask_kind::none:
            break;
    }
    return dropped;
}

void make_mask(const test_case & c, problem & p, noise & random) {
    if (c.mask == mask_kind::none) {
        return;
    }
    const int64_t n_batch = c.mask_per_batch ? c.n_batch : 1;
    const int64_t n_head = c.mask_per_head ? c.n_head : 1;
    const int64_t stride_row = c.n_kv + (c.kv_layout == layout::padded ? 7 : 0);
    p.mask = guarded_buffer(static_cast<size_t>(n_batch * n_head * c.n_q * stride_row) * sizeof(uint16_t));
    uint16_t * bits = p.mask.as<uint16_t>();
    for (int64_t plane = 0; plane < n_batch * n_head; ++plane) {
        for (int64_t row = 0; row < c.n_q; ++row) {
            for (int64_t key = 0; key < c.n_kv; ++key) {
                bits[(plane * c.n_q + row) * stride_row + key] = f32_to_f16(mask_value(c, row, key, random));
            }
        }
    }
    p.args.mask = bits;
    p.args.mask_stride_row = stride_row;
    p.args.mask_stride_head = c.mask_per_head ? c.n_q * stride_row : 0;
    p.args.mask_stride_batch = c.mask_per_batch ? n_head * c.n_q * stride_row : 0;
}

// Which keys of one batch must hold numbers. Written apart from geometry.h and from the oracle.
std::vector<bool> live_keys(const test_case & c, const problem & p, int64_t batch) {
    std::vector<bool> live(static_cast<size_t>(c.n_kv), false);
    for (const attention_segment & segment : p.segments) {
        if (segment.batch != batch || segment.masked) {
            continue;
        }
        const int64_t last_rank = segment.rank_begin + segment.row_end - segment.row_begin - 1;
        for (int64_t rank = 0; rank <= last_rank; ++rank) {
            const bool in_first_window = segment.rank_begin - rank < segment.kept.n_window;
            if (c.dense_heads || rank < segment.kept.n_sink || in_first_window) {
                const int64_t key = segment.cells != nullptr ? segment.cells[rank] : segment.key_begin + rank;
                live[static_cast<size_t>(key)] = true;
            }
        }
    }
    for (const attention_segment & segment : p.segments) {
        if (segment.batch != batch || !segment.masked) {
            continue;
        }
        const int64_t n_head = c.mask_per_head ? c.n_head : 1;
        for (int64_t head = 0; head < n_head; ++head) {
            for (int64_t row = segment.row_begin; row < segment.row_end; ++row) {
                const uint16_t * bits = p.args.mask + batch * p.args.mask_stride_batch +
                                        head * p.args.mask_stride_head + row * p.args.mask_stride_row;
                for (int64_t key = 0; key < c.n_kv; ++key) {
                    if (!std::isinf(f16_to_f32(bits[key]))) {
                        live[static_cast<size_t>(key)] = true;
                    }
                }
            }
        }
    }
    return live;
}

guarded_buffer make_floats(int64_t n) {
    return guarded_buffer(static_cast<size_t>(n) * sizeof(float));
}

void make_head_vectors(const test_case & c, problem & p, noise & random) {
    if (c.sink_logits) {
        p.sink_logit = make_floats(c.n_head);
        for (int64_t head = 0; head < c.n_head; ++head) {
            p.sink_logit.as<float>()[head] = 2 * random.normal() + 3;  // a tenth of the weight, or so
        }
        p.args.sink_logit = p.sink_logit.as<float>();
    }
    if (c.alibi_slopes) {
        p.alibi_slope = make_floats(c.n_head);
        for (int64_t head = 0; head < c.n_head; ++head) {
            p.alibi_slope.as<float>()[head] =
                std::exp2(-8.0f * static_cast<float>(head + 1) / static_cast<float>(c.n_head));
        }
        p.args.alibi_slope = p.alibi_slope.as<float>();
    }
    if (c.dense_heads) {
        p.dense_head = guarded_buffer(static_cast<size_t>(c.n_head));
        for (int64_t head = 0; head < c.n_head; ++head) {
            p.dense_head.data()[head] = static_cast<uint8_t>(head % 2);
        }
        p.args.dense_head = p.dense_head.data();
    }
}

void make_queries(const test_case & c, problem & p, noise & random) {
    const tensor_strides s = strides_of(c.q_layout, c.n_batch, c.n_head, c.n_q, c.d_qk, dtype::f32);
    p.q = allocate(c.q_layout, s.n_elems, dtype::f32);
    p.args.q = p.q.as<float>();
    p.args.q_stride_batch = s.batch;
    p.args.q_stride_head = s.head;
    p.args.q_stride_row = s.row;
    std::vector<float> values(static_cast<size_t>(c.d_qk));
    for (const attention_segment & segment : p.segments) {
        for (int64_t head = 0; head < c.n_head; ++head) {
            for (int64_t row = segment.row_begin; row < segment.row_end; ++row) {
                for (float & value : values) {
                    value = random.normal() * c.query_gain;
                }
                if (!c.planted.empty()) {
                    values[0] = std::sqrt(static_cast<float>(c.d_qk));
                }
                store_row(p.q, dtype::f32, segment.batch * s.batch + head * s.head + row * s.row, values);
            }
        }
    }
}

// What is planted at a key; null if nothing is.
const planted_keys * planted_at(const test_case & c, const problem & p, int64_t key) {
    for (const planted_keys & planted : c.planted) {
        for (int64_t rank = planted.first_rank; rank < planted.end_rank; ++rank) {
            const attention_segment & segment = p.segments.front();
            if (key == (segment.cells != nullptr ? segment.cells[rank] : segment.key_begin + rank)) {
                return &planted;
            }
        }
    }
    return nullptr;
}

// One of K and V. A mean other than zero keeps averages over many values away from zero.
guarded_buffer make_cache(const test_case & c, const problem & p, noise & random, bool keys, tensor_strides & s) {
    const dtype type = keys ? c.k_type : c.v_type;
    const int64_t dim = keys ? c.d_qk : c.d_v;
    const float mean = keys ? 0.0f : 0.5f;
    s = strides_of(c.kv_layout, c.n_batch, c.n_head_kv, c.n_kv, dim, type);
    guarded_buffer buffer = allocate(c.kv_layout, s.n_elems, type);
    std::vector<float> values(static_cast<size_t>(dim));
    for (int64_t batch = 0; batch < c.n_batch; ++batch) {
        const std::vector<bool> live = live_keys(c, p, batch);
        for (int64_t head = 0; head < c.n_head_kv; ++head) {
            for (int64_t row = 0; row < c.n_kv; ++row) {
                if (!live[static_cast<size_t>(row)]) {
                    continue;
                }
                const float gain = row == c.loud_key ? 300.0f : 1.0f;
                for (float & value : values) {
                    value = (random.normal() + mean) * gain;
                }
                const planted_keys * planted = planted_at(c, p, row);
                if (!keys && planted != nullptr && planted->poisoned) {
                    continue;
                }
                if (keys && !c.planted.empty()) {
                    values[0] = planted != nullptr ? planted->logit : 0.0f;
                }
                store_row(buffer, type, batch * s.batch + head * s.head + row * s.row, values);
            }
        }
    }
    return buffer;
}

bool is_poison(const float * value) {
    uint32_t bits = 0;
    std::memcpy(&bits, value, sizeof bits);
    return bits == 0xffffffffu;
}

}  // namespace

void store_row(guarded_buffer & buffer, dtype type, int64_t offset, const std::vector<float> & values) {
    const auto n = static_cast<int64_t>(values.size());
    for (int64_t i = 0; i < n; i += block_elems(type)) {
        uint8_t * place = buffer.data() + (offset + i) / block_elems(type) * block_bytes(type);
        const float * value = values.data() + i;
        switch (type) {
            case dtype::f32:
                std::memcpy(place, value, sizeof *value);
                break;
            case dtype::f16:
                write_u16(place, f32_to_f16(*value));
                break;
            case dtype::bf16:
                write_u16(place, f32_to_bf16(*value));
                break;
            case dtype::q8_0:
                q8_0_encode(place, value);
                break;
            case dtype::q4_0:
                q4_0_encode(place, value);
                break;
        }
    }
}

std::unique_ptr<problem> make_problem(const test_case & c) {
    auto p = std::make_unique<problem>();
    noise random(c.seed);
    make_cells(c, *p, random);
    make_mask(c, *p, random);
    make_head_vectors(c, *p, random);
    make_queries(c, *p, random);

    tensor_strides s;
    p->k = make_cache(c, *p, random, true, s);
    p->args.k = p->k.data();
    p->args.k_stride_batch = s.batch;
    p->args.k_stride_head = s.head;
    p->args.k_stride_row = s.row;
    p->v = make_cache(c, *p, random, false, s);
    p->args.v = p->v.data();
    p->args.v_stride_batch = s.batch;
    p->args.v_stride_head = s.head;
    p->args.v_stride_row = s.row;

    p->args.k_type = c.k_type;
    p->args.v_type = c.v_type;
    p->args.n_batch = c.n_batch;
    p->args.n_head = c.n_head;
    p->args.n_head_kv = c.n_head_kv;
    p->args.n_q = c.n_q;
    p->args.n_kv = c.n_kv;
    p->args.d_qk = c.d_qk;
    p->args.d_v = c.d_v;
    p->args.scale = c.scale_factor / std::sqrt(static_cast<float>(c.d_qk));
    p->args.logit_softcap = c.softcap;
    return p;
}

call_output make_output(const test_case & c, const problem & p) {
    const layout order = c.q_layout == layout::head_major ? layout::token_major : c.q_layout;
    // `out` has heads inside rows: the layouts' "row" and "head" change places.
    const tensor_strides s = order == layout::token_major
                                 ? strides_of(order, c.n_batch, c.n_head, c.n_q, c.d_v, dtype::f32)
                                 : strides_of(order, c.n_batch, c.n_q, c.n_head, c.d_v, dtype::f32);
    call_output result;
    result.args = p.args;
    result.out = allocate(order, s.n_elems, dtype::f32);
    result.args.out = result.out.as<float>();
    result.args.out_stride_batch = s.batch;
    result.args.out_stride_row = order == layout::token_major ? s.row : s.head;
    result.args.out_stride_head = order == layout::token_major ? s.head : s.row;
    if (c.lse) {
        result.lse = make_floats(c.n_batch * c.n_head * c.n_q);
        result.args.lse = result.lse.as<float>();
    }
    return result;
}

std::string check_written(const test_case & c, const problem & p, const call_output & output) {
    char text[160];
    const auto at = [&](const char * what, int64_t batch, int64_t head, int64_t row) {
        std::snprintf(text, sizeof text, "%s at (batch %lld, head %lld, row %lld)", what, static_cast<long long>(batch),
                      static_cast<long long>(head), static_cast<long long>(row));
        return std::string(text);
    };
    const bool poisoned = c.q_layout != layout::huge;  // else the background is zeros, too large to walk
    std::vector<bool> owned(poisoned ? output.out.size() / sizeof(float) : 0, false);
    std::vector<bool> owned_lse(output.lse.size() / sizeof(float), false);
    const attention_args & args = output.args;
    for (const attention_segment & segment : p.segments) {
        for (int64_t row = segment.row_begin; row < segment.row_end; ++row) {
            for (int64_t head = 0; head < c.n_head; ++head) {
                const int64_t first =
                    segment.batch * args.out_stride_batch + row * args.out_stride_row + head * args.out_stride_head;
                for (int64_t dim = 0; dim < c.d_v; ++dim) {
                    if (std::isnan(args.out[first + dim])) {
                        return at("output is NaN or was not written", segment.batch, head, row);
                    }
                    if (poisoned) {
                        owned[static_cast<size_t>(first + dim)] = true;
                    }
                }
                if (args.lse != nullptr) {
                    const int64_t place = (segment.batch * c.n_head + head) * c.n_q + row;
                    if (std::isnan(args.lse[place])) {
                        return at("log-sum-exp is NaN or was not written", segment.batch, head, row);
                    }
                    owned_lse[static_cast<size_t>(place)] = true;
                }
            }
        }
    }
    for (size_t i = 0; i < owned.size(); ++i) {
        if (!owned[i] && !is_poison(args.out + i)) {
            std::snprintf(text, sizeof text, "output element %zu, which no segment owns, was written", i);
            return text;
        }
    }
    for (size_t i = 0; i < owned_lse.size(); ++i) {
        if (!owned_lse[i] && !is_poison(args.lse + i)) {
            std::snprintf(text, sizeof text, "log-sum-exp element %zu, which no segment owns, was written", i);
            return text;
        }
    }
    if (!output.out.canary_intact() || !output.lse.canary_intact()) {
        return "memory before an output was written";
    }
    return {};
}

}  // namespace tmx::test
