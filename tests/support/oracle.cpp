#include "oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "number_formats.h"

namespace tmx::test {
namespace {

constexpr double k_infinity = std::numeric_limits<double>::infinity();

// Whether the row of rank i keeps the key of rank j.
bool keeps_rank(const attention_segment & segment, bool dense_head, int64_t i, int64_t j) {
    if (j < 0 || j > i) {
        return false;  // causal
    }
    if (dense_head) {
        return true;
    }
    if (j < segment.kept.n_sink) {
        return true;  // one of the first keys
    }
    if (i - j < segment.kept.n_window) {
        return true;  // one of the most recent keys, the row's own included
    }
    return false;
}

struct decoded_rows {
    std::vector<double> values;       // [n_rows, dim]
    std::vector<double> largest;      // [n_rows] magnitudes
    std::vector<double> mean_square;  // [n_rows]
    int64_t dim = 0;
    const double * row(int64_t index) const { return values.data() + index * dim; }
};

decoded_rows decode(const void * tensor, dtype type, int64_t first_offset, int64_t stride_row, int64_t n_rows,
                    int64_t dim) {
    decoded_rows result;
    result.dim = dim;
    result.values.resize(static_cast<size_t>(n_rows * dim));
    for (int64_t row = 0; row < n_rows; ++row) {
        double largest = 0;
        double squares = 0;
        for (int64_t i = 0; i < dim; ++i) {
            const double value = element(tensor, type, first_offset + row * stride_row + i);
            result.values[static_cast<size_t>(row * dim + i)] = value;
            largest = std::max(largest, std::fabs(value));
            squares += value * value;
        }
        result.largest.push_back(largest);
        result.mean_square.push_back(squares / static_cast<double>(dim));
    }
    return result;
}

// A row's logit of one key, and what rounding may do to it.
struct key_logit {
    double value = 0;
    double spread = 0;  // what rounding each operand moves it by, per roundoff
    double size = 0;    // of the numbers that are rounded after the product
};

key_logit logit_of(const attention_args & args, const float * query, const double * key, float bias) {
    double sums[4] = {};  // four of each, so that the compiler may use vectors
    double sums_of_squares[4] = {};
    for (int64_t i = 0; i < args.d_qk; i += 4) {
        for (int64_t lane = 0; lane < 4; ++lane) {
            const double product = static_cast<double>(query[i + lane]) * key[i + lane];
            sums[lane] += product;
            sums_of_squares[lane] += product * product;
        }
    }
    const double dot = sums[0] + sums[1] + sums[2] + sums[3];
    const double squares = sums_of_squares[0] + sums_of_squares[1] + sums_of_squares[2] + sums_of_squares[3];
    const double scale = args.scale;
    double value = dot * scale;
    const double size = std::fabs(value) + std::fabs(static_cast<double>(bias));
    if (args.logit_softcap > 0) {
        value = args.logit_softcap * std::tanh(value / args.logit_softcap);
    }
    return {value + bias, std::sqrt(squares) * std::fabs(scale), size};
}

const float * query_of(const attention_args & args, const attention_segment & segment, int64_t head, int64_t row) {
    return args.q + segment.batch * args.q_stride_batch + head * args.q_stride_head + row * args.q_stride_row;
}

oracle_row attend(const attention_args & args, const attention_segment & segment, int64_t head, int64_t row,
                  const decoded_rows & keys, const decoded_rows & values) {
    const float * query = query_of(args, segment, head, row);
    const std::vector<kept_key> kept = kept_keys(args, segment, head, row);

    std::vector<key_logit> logits(kept.size());
    double largest = -k_infinity;
    for (size_t j = 0; j < kept.size(); ++j) {
        logits[j] = logit_of(args, query, keys.row(kept[j].index), kept[j].bias);
        largest = std::max(largest, logits[j].value);
    }
    if (args.sink_logit != nullptr) {
        largest = std::max(largest, static_cast<double>(args.sink_logit[head]));
    }

    oracle_row result;
    result.batch = segment.batch;
    result.head = head;
    result.row = row;
    result.out.assign(static_cast<size_t>(args.d_v), 0.0);
    result.lse = -k_infinity;
    result.logit_size = args.logit_softcap;
    if (largest == -k_infinity) {
        return result;
    }
    double sum = args.sink_logit != nullptr ? std::exp(args.sink_logit[head] - largest) : 0.0;
    for (const key_logit & logit : logits) {
        sum += std::exp(logit.value - largest);
    }
    result.lse = largest + std::log(sum);
    double spread_squares = 0;
    for (size_t j = 0; j < kept.size(); ++j) {
        const double weight = std::exp(logits[j].value - largest) / sum;
        const double * value = values.row(kept[j].index);
        for (int64_t i = 0; i < args.d_v; ++i) {
            result.out[static_cast<size_t>(i)] += weight * value[i];
        }
        const auto place = static_cast<size_t>(kept[j].index);
        result.largest_value = std::max(result.largest_value, values.largest[place]);
        spread_squares += weight * weight * values.mean_square[place];
        result.operand_spread += weight * logits[j].spread;
        result.logit_size += weight * logits[j].size;
    }
    result.value_spread = std::sqrt(spread_squares);
    return result;
}

}  // namespace

float element(const void * tensor, dtype type, int64_t offset) {
    const auto * bytes = static_cast<const uint8_t *>(tensor);
    switch (type) {
        case dtype::f32:
            return static_cast<const float *>(tensor)[offset];
        case dtype::f16:
            return f16_to_f32(read_u16(bytes + 2 * offset));
        case dtype::bf16:
            return bf16_to_f32(read_u16(bytes + 2 * offset));
        case dtype::q8_0:
            return q8_0_value(bytes + offset / 32 * 34, static_cast<int>(offset % 32));
        case dtype::q4_0:
            return q4_0_value(bytes + offset / 32 * 18, static_cast<int>(offset % 32));
    }
    return std::numeric_limits<float>::quiet_NaN();
}

std::vector<kept_key> kept_keys(const attention_args & args, const attention_segment & segment, int64_t head,
                                int64_t row) {
    std::vector<kept_key> result;
    if (segment.masked) {
        const uint16_t * mask = args.mask + segment.batch * args.mask_stride_batch + head * args.mask_stride_head +
                                row * args.mask_stride_row;
        const float slope = args.alibi_slope != nullptr ? args.alibi_slope[head] : 1.0f;
        for (int64_t index = 0; index < args.n_kv; ++index) {
            const float value = f16_to_f32(mask[index]);
            if (value != -std::numeric_limits<float>::infinity()) {
                result.push_back({index, slope * value});
            }
        }
        return result;
    }
    const bool dense_head = args.dense_head != nullptr && args.dense_head[head] != 0;
    const int64_t rank = segment.rank_begin + (row - segment.row_begin);
    for (int64_t j = 0; j <= rank; ++j) {
        if (keeps_rank(segment, dense_head, rank, j)) {
            result.push_back({segment.cells != nullptr ? segment.cells[j] : segment.key_begin + j, 0.0f});
        }
    }
    return result;
}

void allow_skips(const attention_args & args, const attention_segment & segment, std::vector<oracle_row> & rows) {
    constexpr double k_border = 4 * 0x1p-8;
    std::map<int64_t, decoded_rows> keys;  // by key head
    for (oracle_row & row : rows) {
        const int64_t head_kv = row.head / (args.n_head / args.n_head_kv);
        if (!keys.contains(head_kv)) {
            keys[head_kv] = decode(args.k, args.k_type, row.batch * args.k_stride_batch + head_kv * args.k_stride_head,
                                   args.k_stride_row, args.n_kv, args.d_qk);
        }
        std::vector<key_logit> logits;
        size_t largest = 0;
        for (const kept_key & key : kept_keys(args, segment, row.head, row.row)) {
            logits.push_back(
                logit_of(args, query_of(args, segment, row.head, row.row), keys[head_kv].row(key.index), key.bias));
            largest = logits.back().value > logits[largest].value ? logits.size() - 1 : largest;
        }
        const double n_keys = static_cast<double>(args.n_kv - args.n_q + row.row + 1);  // a tile's last row has more
        const double distance = std::max(0.0, std::log(n_keys / args.skip_factor));
        for (const key_logit & logit : logits) {
            const double border = k_border * (logit.spread + logits[largest].spread);
            if (logits[largest].value - logit.value > distance - border) {
                row.may_leave_out += std::exp(logit.value - row.lse);
            }
        }
    }
}

std::vector<int64_t> checked_rows(const attention_segment & segment, int64_t row_step) {
    std::vector<int64_t> rows;
    for (int64_t row = segment.row_begin; row < segment.row_end; row += row_step) {
        rows.push_back(row);
    }
    if (!rows.empty() && rows.back() != segment.row_end - 1) {
        rows.push_back(segment.row_end - 1);
    }
    return rows;
}

std::vector<oracle_row> oracle_attention(const attention_args & args, std::span<const attention_segment> segments,
                                         int64_t row_step) {
    std::vector<oracle_row> result;
    const int64_t group = args.n_head / args.n_head_kv;
    for (int64_t batch = 0; batch < args.n_batch; ++batch) {
        for (int64_t head_kv = 0; head_kv < args.n_head_kv; ++head_kv) {
            const decoded_rows keys =
                decode(args.k, args.k_type, batch * args.k_stride_batch + head_kv * args.k_stride_head,
                       args.k_stride_row, args.n_kv, args.d_qk);
            const decoded_rows values =
                decode(args.v, args.v_type, batch * args.v_stride_batch + head_kv * args.v_stride_head,
                       args.v_stride_row, args.n_kv, args.d_v);
            for (const attention_segment & segment : segments) {
                if (segment.batch != batch) {
                    continue;
                }
                for (int64_t head = head_kv * group; head < (head_kv + 1) * group; ++head) {
                    for (const int64_t row : checked_rows(segment, row_step)) {
                        result.push_back(attend(args, segment, head, row, keys, values));
                    }
                }
            }
        }
    }
    return result;
}

}  // namespace tmx::test
