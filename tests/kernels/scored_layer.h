// scored_layer.h -- one layer's queries and keys for methods that score blocks: some blocks call for some rows, so that
// scores differ, and what no row may see is not a number.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "guarded_buffer.h"
#include "number_formats.h"
#include "oracle.h"
#include "problem.h"
#include "trianglemix/attention.h"
#include "trianglemix/rotary_layout.h"

namespace tmx::test {

struct layer_shape {
    int64_t n_head = 4;
    int64_t n_head_kv = 2;
    int64_t d = 64;
    int64_t rank_begin = 0;
    int64_t n_rows = 300;
    dtype k_type = dtype::f16;
    bool shuffled = false;   // by cells
    int64_t key_begin = 0;   // without cells
    int64_t row_begin = 0;   // of q
    int32_t batch = 0;       // of two, where it is 1
    float scale_factor = 1;  // times 1 / sqrt(d)
    uint64_t seed = 1;

    int64_t rank_end() const { return rank_begin + n_rows; }
    std::string text() const {
        std::ostringstream out;
        out << "heads " << n_head << "/" << n_head_kv << " d " << d << " ranks " << rank_begin << ".." << rank_end()
            << " type " << static_cast<int>(k_type) << (shuffled ? " shuffled" : "") << " seed " << seed;
        return out.str();
    }
};

class scored_layer {
  public:
    explicit scored_layer(const layer_shape & s) : shape(s) {
        const int64_t n_batch = s.batch + 1;
        args.n_batch = n_batch;
        args.n_head = s.n_head;
        args.n_head_kv = s.n_head_kv;
        args.n_q = s.row_begin + s.n_rows;
        args.n_kv = s.key_begin + s.rank_end() + 3;
        args.d_qk = args.d_v = s.d;
        args.k_type = args.v_type = s.k_type;
        args.scale = s.scale_factor / std::sqrt(static_cast<float>(s.d));
        args.q_stride_head = s.d;
        args.q_stride_row = s.n_head * s.d;
        args.q_stride_batch = args.n_q * args.q_stride_row;
        args.k_stride_head = args.v_stride_head = s.d;
        args.k_stride_row = args.v_stride_row = s.n_head_kv * s.d;
        args.k_stride_batch = args.v_stride_batch = args.n_kv * args.k_stride_row;
        args.out_stride_head = s.d;
        args.out_stride_row = s.n_head * s.d;
        args.out_stride_batch = args.n_q * args.out_stride_row;
        segment.batch = s.batch;
        segment.row_begin = s.row_begin;
        segment.row_end = args.n_q;
        segment.rank_begin = s.rank_begin;
        segment.key_begin = s.key_begin;
        make_cells();
        make_numbers();
    }
    scored_layer(const scored_layer &) = delete;
    scored_layer & operator=(const scored_layer &) = delete;

    // As the kernels read them, decoded; `rounded`: to bf16, as fast products take them.
    double query(int64_t head, int64_t rank, int64_t i, bool rounded = false) const {
        const int64_t row = shape.row_begin + rank - shape.rank_begin;
        const float value =
            args.q[shape.batch * args.q_stride_batch + row * args.q_stride_row + head * args.q_stride_head + i];
        return rounded ? bf16_to_f32(f32_to_bf16(value)) : value;
    }
    double key(int64_t key_head, int64_t rank, int64_t i, bool rounded = false) const {
        const float value = element(args.k, args.k_type, key_offset(key_head, rank) + i);
        return rounded ? bf16_to_f32(f32_to_bf16(value)) : value;
    }

    layer_shape shape;
    attention_args args;
    attention_segment segment;

  private:
    int64_t key_offset(int64_t key_head, int64_t rank) const {
        const int64_t index = segment.cells != nullptr ? segment.cells[rank] : segment.key_begin + rank;
        return shape.batch * args.k_stride_batch + index * args.k_stride_row + key_head * args.k_stride_head;
    }

    void make_cells() {
        if (!shape.shuffled) {
            return;
        }
        std::mt19937_64 random(shape.seed);
        std::vector<int32_t> order(static_cast<size_t>(args.n_kv));
        std::iota(order.begin(), order.end(), 0);
        for (size_t i = order.size() - 1; i > 0; --i) {
            std::swap(order[i], order[random() % (i + 1)]);
        }
        cells_ = std::make_unique<guarded_buffer>(static_cast<size_t>(shape.rank_end()) * sizeof(int32_t));
        std::copy_n(order.begin(), shape.rank_end(), cells_->as<int32_t>());
        segment.cells = cells_->as<int32_t>();
    }

    // Each block of keys has a centre, and each stretch of 50 queries looks for the centre of some block, or for none.
    void make_numbers() {
        std::mt19937_64 random(shape.seed + 77);
        const auto uniform = [&] { return static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-52 - 1.0); };
        const int64_t n_blocks = shape.rank_end() / 128 + 1;
        std::vector<float> centres(static_cast<size_t>(n_blocks * shape.n_head_kv * shape.d));
        for (float & value : centres) {
            value = uniform();
        }
        const auto centre = [&](int64_t block, int64_t key_head, int64_t i) {
            return centres[static_cast<size_t>((block * shape.n_head_kv + key_head) * shape.d + i)];
        };
        const float nan = std::numeric_limits<float>::quiet_NaN();
        q_ = std::make_unique<guarded_buffer>(static_cast<size_t>(args.n_batch * args.q_stride_batch) * sizeof(float));
        float * q = q_->as<float>();
        std::fill_n(q, args.n_batch * args.q_stride_batch, nan);
        for (int64_t row = shape.row_begin; row < args.n_q; ++row) {
            for (int64_t head = 0; head < shape.n_head; ++head) {
                std::mt19937_64 choice(shape.seed + static_cast<uint64_t>(row / 50 * 100 + head));
                const auto block = static_cast<int64_t>(choice() % static_cast<uint64_t>(n_blocks));
                const float pull = static_cast<float>(choice() % 3);
                for (int64_t i = 0; i < shape.d; ++i) {
                    q[shape.batch * args.q_stride_batch + row * args.q_stride_row + head * args.q_stride_head + i] =
                        uniform() + pull * centre(block, head / (shape.n_head / shape.n_head_kv), i);
                }
            }
        }
        args.q = q;
        const int64_t n_elems = args.n_batch * args.k_stride_batch;
        const auto n_bytes = static_cast<size_t>(n_elems / block_elems(shape.k_type) * block_bytes(shape.k_type));
        k_ = std::make_unique<guarded_buffer>(n_bytes);
        args.k = args.v = k_->data();
        std::vector<float> values(static_cast<size_t>(shape.d));
        for (int64_t rank = 0; rank < shape.rank_end(); ++rank) {
            for (int64_t key_head = 0; key_head < shape.n_head_kv; ++key_head) {
                for (int64_t i = 0; i < shape.d; ++i) {
                    values[static_cast<size_t>(i)] = uniform() + centre(rank / 128, key_head, i);
                }
                store_row(*k_, shape.k_type, key_offset(key_head, rank), values);
            }
        }
    }

    std::unique_ptr<guarded_buffer> q_;
    std::unique_ptr<guarded_buffer> k_;
    std::unique_ptr<guarded_buffer> cells_;
};

}  // namespace tmx::test
