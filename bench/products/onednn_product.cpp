#include "onednn_product.h"

#include <fmt/core.h>
#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <utility>
#include <vector>

#include "../kernel/timer.h"

namespace tmx::bench {
namespace {

using dnnl::memory;

memory::data_type type_of_rows(onednn_arithmetic arithmetic) {
    switch (arithmetic) {
        case onednn_arithmetic::bf16:
            return memory::data_type::bf16;
        case onednn_arithmetic::u8s8:
            return memory::data_type::u8;
        default:
            return memory::data_type::f32;
    }
}

memory::data_type type_of_weights(onednn_arithmetic arithmetic) {
    return arithmetic == onednn_arithmetic::u8s8 ? memory::data_type::s8 : type_of_rows(arithmetic);
}

dnnl::matmul::primitive_desc describe(const dnnl::engine & engine, const memory::desc & rows,
                                      const memory::desc & weights, const memory::desc & out) {
#if DNNL_VERSION_MAJOR >= 3
    return {engine, rows, weights, out};
#else
    return {dnnl::matmul::desc(rows, weights, out), engine};
#endif
}

}  // namespace

struct onednn_product::state {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    int n_threads = 1;
    double creation_seconds = 0;
    std::vector<float> result;
    memory plain_rows;     // [n_rows, depth] f32
    memory plain_weights;  // [depth, n_columns] f32, the columns' values side by side
    memory rows;           // as `multiply` wants them, like the next
    memory weights;
    memory out;  // `result`
    dnnl::reorder turn_rows;
    dnnl::reorder turn_weights;
    dnnl::matmul multiply;

    state(const product_shape & shape, onednn_arithmetic arithmetic, std::span<const float> f32_weights,
          std::span<const float> f32_rows, int threads)
        : n_threads(threads), result(static_cast<size_t>(shape.n_rows * shape.n_columns)) {
        using tag = memory::format_tag;
        constexpr auto f32 = memory::data_type::f32;
        const memory::dims of_rows{shape.n_rows, shape.depth};
        const memory::dims of_weights{shape.depth, shape.n_columns};
        const memory::desc out_layout({shape.n_rows, shape.n_columns}, f32, tag::ab);
        omp_set_num_threads(n_threads);
        const double begin = wall_seconds();
        const auto chosen = describe(engine, {of_rows, type_of_rows(arithmetic), tag::any},
                                     {of_weights, type_of_weights(arithmetic), tag::any}, out_layout);
        multiply = dnnl::matmul(chosen);
        creation_seconds = wall_seconds() - begin;
        plain_rows = memory({of_rows, f32, tag::ab}, engine, const_cast<float *>(f32_rows.data()));
        plain_weights = memory({of_weights, f32, tag::ba}, engine, const_cast<float *>(f32_weights.data()));
        rows = chosen.src_desc() == plain_rows.get_desc() ? plain_rows : memory(chosen.src_desc(), engine);
        weights = memory(chosen.weights_desc(), engine);
        out = memory(out_layout, engine, result.data());
        turn_rows = dnnl::reorder(plain_rows, rows);
        turn_weights = dnnl::reorder(plain_weights, weights);
        turn_weights.execute(stream, plain_weights, weights);
        stream.wait();
    }
};

onednn_product::onednn_product(std::unique_ptr<state> s) : state_(std::move(s)) {}
onednn_product::~onednn_product() = default;

std::string onednn_product::version() {
    const dnnl_version_t * v = dnnl_version();
    return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
}

std::unique_ptr<onednn_product> onednn_product::create(const product_shape & shape, onednn_arithmetic arithmetic,
                                                       std::span<const float> weights, std::span<const float> rows,
                                                       int n_threads) try {
    return std::unique_ptr<onednn_product>(
        new onednn_product(std::make_unique<state>(shape, arithmetic, weights, rows, n_threads)));
} catch (const dnnl::error & error) {
    fmt::print(stderr, "oneDNN: {}\n", error.what());
    return nullptr;
}

double onednn_product::creation_seconds() const {
    return state_->creation_seconds;
}

bool onednn_product::run(bool turn_weights) try {
    state & s = *state_;
    omp_set_num_threads(s.n_threads);
    if (s.rows != s.plain_rows) {
        s.turn_rows.execute(s.stream, s.plain_rows, s.rows);
    }
    if (turn_weights) {
        s.turn_weights.execute(s.stream, s.plain_weights, s.weights);
    }
    s.multiply.execute(s.stream, {{DNNL_ARG_SRC, s.rows}, {DNNL_ARG_WEIGHTS, s.weights}, {DNNL_ARG_DST, s.out}});
    s.stream.wait();
    return true;
} catch (const dnnl::error & error) {
    fmt::print(stderr, "oneDNN: {}\n", error.what());
    return false;
}

std::span<const float> onednn_product::output() const {
    return state_->result;
}

}  // namespace tmx::bench
