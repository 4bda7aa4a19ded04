#include "layer.h"

#include <cmath>
#include <random>

#include "number_formats.h"

namespace tmx::bench {

const std::vector<layer_shape> & known_shapes() {
    static const std::vector<layer_shape> shapes = {
        {"gemma-2-9b", 16, 8, 256},    {"llama-3.1-8b", 32, 8, 128}, {"llama-3.2-1b", 32, 8, 64},
        {"phi-3-mini-4k", 32, 32, 96}, {"qwen2.5-7b", 28, 4, 128},   {"qwen3-8b", 32, 8, 128},
        {"smollm2-135m", 9, 3, 64},
    };
    return shapes;
}

const layer_shape * find_shape(std::string_view model) {
    for (const layer_shape & shape : known_shapes()) {
        if (shape.model == model) {
            return &shape;
        }
    }
    return nullptr;
}

const char * name_of(layer_mode mode) {
    return mode == layer_mode::dense ? "dense" : "triangle";
}

const char * name_of(precision arithmetic) {
    return arithmetic == precision::exact ? "exact" : "fast";
}

layer_data::layer_data(const layer_shape & layer, int64_t rows) : shape(layer), n(rows) {
    const auto elems = [&](int64_t n_head) { return static_cast<size_t>(n_head * n * shape.dim); };
    std::mt19937_64 random(1);
    const auto uniform = [&] {  // [-1, 1); softmax over such keys is nearly flat, which costs a kernel most
        return static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-52 - 1.0);
    };
    q.resize(elems(shape.n_head));
    k.resize(elems(shape.n_head_kv));
    v.resize(elems(shape.n_head_kv));
    out.resize(elems(shape.n_head));
    for (float & x : q) {
        x = uniform();
    }
    for (uint16_t & x : k) {
        x = test::f32_to_f16(uniform());
    }
    for (uint16_t & x : v) {
        x = test::f32_to_f16(uniform());
    }
}

std::vector<attention_segment> layer_data::segments(layer_mode mode, int64_t row_begin, int64_t row_end) const {
    const auto segment_of = [&](index_range ranks, const band & kept) {
        attention_segment segment;
        segment.row_begin = ranks.begin;
        segment.row_end = ranks.end;
        segment.rank_begin = ranks.begin;
        segment.kept = kept;
        return segment;
    };
    if (mode == layer_mode::dense) {
        return {segment_of({row_begin, row_end}, band{})};
    }
    std::vector<attention_segment> result;
    for (const row_segment & stretch :
         resolve_segments(triangle_shape{}, tail_policy::prompt, {{row_begin, row_end}, n}, {})) {
        result.push_back(segment_of({row_begin + stretch.rows.begin, row_begin + stretch.rows.end}, stretch.kept));
    }
    return result;
}

attention_args layer_data::args() {
    attention_args args;
    args.q = q.data();
    args.k = k.data();
    args.v = v.data();
    args.out = out.data();
    args.n_head = shape.n_head;
    args.n_head_kv = shape.n_head_kv;
    args.n_q = n;
    args.n_kv = n;
    args.d_qk = shape.dim;
    args.d_v = shape.dim;
    args.q_stride_head = shape.dim;
    args.q_stride_row = shape.n_head * shape.dim;
    args.q_stride_batch = shape.n_head * n * shape.dim;
    args.k_stride_head = args.v_stride_head = shape.dim;
    args.k_stride_row = args.v_stride_row = shape.n_head_kv * shape.dim;
    args.k_stride_batch = args.v_stride_batch = n * shape.n_head_kv * shape.dim;
    args.out_stride_head = shape.dim;
    args.out_stride_row = shape.n_head * shape.dim;
    args.out_stride_batch = n * shape.n_head * shape.dim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(shape.dim));
    return args;
}

status layer_data::run(layer_mode mode, int64_t row_begin, int64_t row_end, cpu_context & ctx) {
    return attention_forward(args(), segments(mode, row_begin, row_end), ctx);
}

double layer_data::flops(layer_mode mode, int64_t row_begin, int64_t row_end) const {
    double total = 0;
    for (const attention_segment & segment : segments(mode, row_begin, row_end)) {
        total += count_work(segment.kept, {segment.row_begin, segment.row_end}, shape.n_head, shape.n_head_kv,
                            shape.dim, shape.dim, 2)
                     .flops;
    }
    return total;
}

}  // namespace tmx::bench
