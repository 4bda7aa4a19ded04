#include "plain.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "number_formats.h"
#include "oracle.h"

namespace tmx::test {
namespace {

constexpr float k_infinity = std::numeric_limits<float>::infinity();

float operand(float value, rounding arithmetic) {
    switch (arithmetic) {
        case rounding::f32:
            break;
        case rounding::bf16:
            return bf16_to_f32(f32_to_bf16(value));
        case rounding::f16:
            return f16_to_f32(f32_to_f16(value));
    }
    return value;
}

std::vector<float> decode(const void * tensor, dtype type, int64_t first_offset, int64_t stride_row, int64_t n_rows,
                          int64_t dim, rounding arithmetic) {
    std::vector<float> result(static_cast<size_t>(n_rows * dim));
    for (int64_t row = 0; row < n_rows; ++row) {
        for (int64_t i = 0; i < dim; ++i) {
            result[static_cast<size_t>(row * dim + i)] =
                operand(element(tensor, type, first_offset + row * stride_row + i), arithmetic);
        }
    }
    return result;
}

void attend(const attention_args & args, const attention_segment & segment, int64_t head, int64_t row,
            const std::vector<float> & keys, const std::vector<float> & values, rounding arithmetic) {
    const float * query =
        args.q + segment.batch * args.q_stride_batch + head * args.q_stride_head + row * args.q_stride_row;
    const std::vector<kept_key> kept = kept_keys(args, segment, head, row);
    std::vector<float> rounded_query(static_cast<size_t>(args.d_qk));
    for (int64_t i = 0; i < args.d_qk; ++i) {
        rounded_query[static_cast<size_t>(i)] = operand(query[i], arithmetic);
    }
    std::vector<float> weight(kept.size());
    float largest = args.sink_logit != nullptr ? args.sink_logit[head] : -k_infinity;
    for (size_t j = 0; j < kept.size(); ++j) {
        const float * key = keys.data() + kept[j].index * args.d_qk;
        float dot = 0;
        for (int64_t i = 0; i < args.d_qk; ++i) {
            dot += rounded_query[static_cast<size_t>(i)] * key[i];
        }
        float logit = dot * args.scale;
        if (args.logit_softcap > 0) {
            logit = args.logit_softcap * std::tanh(logit / args.logit_softcap);
        }
        weight[j] = logit + kept[j].bias;
        largest = std::max(largest, weight[j]);
    }
    float sum = args.sink_logit != nullptr ? std::exp(args.sink_logit[head] - largest) : 0.0f;
    for (float & w : weight) {
        w = std::exp(w - largest);
        sum += w;
        w = operand(w, arithmetic);
    }
    float * out =
        args.out + segment.batch * args.out_stride_batch + row * args.out_stride_row + head * args.out_stride_head;
    std::vector<float> total(static_cast<size_t>(args.d_v), 0.0f);
    for (size_t j = 0; j < kept.size(); ++j) {
        const float * value = values.data() + kept[j].index * args.d_v;
        for (int64_t i = 0; i < args.d_v; ++i) {
            total[static_cast<size_t>(i)] += weight[j] * value[i];
        }
    }
    for (int64_t i = 0; i < args.d_v; ++i) {
        out[i] = sum > 0 ? total[static_cast<size_t>(i)] / sum : 0.0f;
    }
    if (args.lse != nullptr) {
        args.lse[(segment.batch * args.n_head + head) * args.n_q + row] =
            sum > 0 ? largest + std::log(sum) : -k_infinity;
    }
}

}  // namespace

void plain_attention(const attention_args & args, std::span<const attention_segment> segments, rounding arithmetic,
                     int64_t row_step) {
    const int64_t group = args.n_head / args.n_head_kv;
    for (int64_t batch = 0; batch < args.n_batch; ++batch) {
        for (int64_t head_kv = 0; head_kv < args.n_head_kv; ++head_kv) {
            const std::vector<float> keys =
                decode(args.k, args.k_type, batch * args.k_stride_batch + head_kv * args.k_stride_head,
                       args.k_stride_row, args.n_kv, args.d_qk, arithmetic);
            const std::vector<float> values =
                decode(args.v, args.v_type, batch * args.v_stride_batch + head_kv * args.v_stride_head,
                       args.v_stride_row, args.n_kv, args.d_v, arithmetic);
            for (const attention_segment & segment : segments) {
                if (segment.batch != batch) {
                    continue;
                }
                for (int64_t head = head_kv * group; head < (head_kv + 1) * group; ++head) {
                    for (const int64_t row : checked_rows(segment, row_step)) {
                        attend(args, segment, head, row, keys, values, arithmetic);
                    }
                }
            }
        }
    }
}

}  // namespace tmx::test
