// The public entry: checks arguments, picks the kernel, has the rows rounded and the panels multiplied on the host's
// threads.
#include "trianglemix/products.h"

#include <omp.h>

#include <algorithm>
#include <new>

#include "products/kernel.h"
#include "products/scratch.h"

namespace tmx {
namespace {

using products::k_tile_rows;

status validate(const product_args & args, const product_context & ctx) noexcept {
    const auto invalid = [](const char * field, int64_t value) {
        return status::error(status_code::invalid_argument, "%s: found %lld", field, static_cast<long long>(value));
    };
    if (static_cast<int>(args.type) >= k_weight_types) {
        return invalid("type", static_cast<int>(args.type));
    }
    if (args.arithmetic > product_arithmetic::i16) {
        return invalid("arithmetic", static_cast<int>(args.arithmetic));
    }
    if (args.n_rows < 0) {
        return invalid("n_rows", args.n_rows);
    }
    if (args.n_columns < 0) {
        return invalid("n_columns", args.n_columns);
    }
    const int64_t block = weight_block_elems(args.type);
    if (args.depth < 1 || args.depth % block != 0) {
        return status::error(status_code::invalid_argument, "depth: found %lld, expected a multiple of %lld",
                             static_cast<long long>(args.depth), static_cast<long long>(block));
    }
    if (args.weight_stride_bytes < args.depth / block * weight_block_bytes(args.type)) {
        return invalid("weight_stride_bytes", args.weight_stride_bytes);
    }
    if (args.row_stride < args.depth) {
        return invalid("row_stride", args.row_stride);
    }
    if (args.out_stride < args.n_columns) {
        return invalid("out_stride", args.out_stride);
    }
    if (ctx.n_threads < 1) {
        return invalid("n_threads", ctx.n_threads);
    }
    if (args.n_rows > 0 && args.n_columns > 0 &&
        (args.weights == nullptr || args.rows == nullptr || args.out == nullptr)) {
        return status::error(status_code::invalid_argument, "weights, rows, out: null");
    }
    return {};
}

// Multiplied as integers: quantised weights in the host's arithmetic.
bool as_integers(const product_args & args) {
    return args.arithmetic == product_arithmetic::host && products::is_quantised(args.type);
}

// The steps that compute the product; null: this kernel has none.
const products::steps * choose_steps(const product_args & args, const products::kernel & kernel) {
    if (as_integers(args)) {
        return &kernel.integers;
    }
    if (args.arithmetic == product_arithmetic::i16) {
        return kernel.i16.multiply != nullptr ? &kernel.i16 : nullptr;
    }
    const bool has_bf16 = kernel.bf16.multiply != nullptr;
    if (args.arithmetic == product_arithmetic::bf16) {
        return has_bf16 ? &kernel.bf16 : nullptr;
    }
    const bool rows_in_bf16 = products::row_rounding_of(args.type, args.arithmetic) == products::rounding::bf16;
    return rows_in_bf16 && has_bf16 ? &kernel.bf16 : &kernel.floats;
}

// How the product is cut into pieces of work: a panel of columns times a stretch of rows.
struct work_split {
    int64_t n_panels;
    int64_t n_stretches;
    int64_t stretch;  // rows

    int64_t size() const { return n_panels * n_stretches; }
};

work_split split_work(const product_args & args, int64_t panel_width, int64_t n_threads) {
    // Packing a panel costs about as much as multiplying ten rows with it.
    constexpr int64_t k_least_stretch = 32 * k_tile_rows;
    constexpr int64_t k_pieces_a_thread = 4;  // so that no thread waits long for the last one
    work_split split{(args.n_columns + panel_width - 1) / panel_width, 1, args.n_rows};
    const int64_t wanted = (k_pieces_a_thread * n_threads + split.n_panels - 1) / split.n_panels;
    const int64_t stretch = std::max(k_least_stretch, (args.n_rows + wanted - 1) / wanted);
    split.stretch = (stretch + k_tile_rows - 1) / k_tile_rows * k_tile_rows;
    split.n_stretches = (args.n_rows + split.stretch - 1) / split.stretch;
    return split;
}

constexpr int64_t k_line = 64;  // bytes of a cache line

// Weights lie in memory as they came from the file, a panel's columns far apart: read cold, they cost as much time as
// multiplying sixty rows with them. So the panel that a thread needs next is fetched ahead, bit by bit.
class weights_ahead {
  public:
    // Of the panel that starts at `column`; past the last column: of none.
    weights_ahead(const product_args & args, int64_t column, int64_t panel_width) {
        const int64_t n_columns = std::min(panel_width, args.n_columns - column);
        if (n_columns > 0) {
            next_ = static_cast<const char *>(args.weights) + column * args.weight_stride_bytes;
            left_ = (n_columns * args.weight_stride_bytes + k_line - 1) / k_line;
        }
    }

    // The next of `parts` parts that are left.
    void fetch(int64_t parts) {
        const int64_t lines = (left_ + parts - 1) / parts;
        for (int64_t line = 0; line < lines; ++line) {
            __builtin_prefetch(next_ + line * k_line, 0, 2);
        }
        next_ += lines * k_line;
        left_ -= lines;
    }

  private:
    const char * next_ = nullptr;
    int64_t left_ = 0;  // lines
};

// One call, for all its threads.
struct product_work {
    const product_args & args;
    const products::steps & steps;
    const product_context::scratch & scratch;
    work_split split;
    bool rounded;  // the scratch holds the rounded rows already

    int64_t column_of(int64_t piece) const { return piece / split.n_stretches * steps.panel_width; }

    // None, where rows are multiplied as they are.
    int64_t n_rows_to_round() const { return scratch.rows().values == nullptr || rounded ? 0 : args.n_rows; }

    void round_rows(int64_t row_begin, int64_t n_rows) const {
        steps.round(args, row_begin, std::min(row_begin + n_rows, args.n_rows), scratch.rows());
    }

    // Fetches n rounded rows ahead: all of them together lie in a cache that threads share.
    void fetch_rows(int64_t row, int64_t n) const {
        const products::rounded_rows & rows = scratch.rows();
        if (rows.values == nullptr || steps.fetches_rows || n <= 0) {
            return;
        }
        const int64_t row_bytes = rows.row_stride * steps.value_bytes;
        const char * values = static_cast<const char *>(rows.values) + row * row_bytes;
        for (int64_t i = 0; i < n * row_bytes; i += k_line) {
            __builtin_prefetch(values + i, 0, 2);
        }
    }

    // `next_piece`: what the thread that calls will probably multiply afterwards.
    void multiply(int64_t piece, int64_t next_piece, int thread) const {
        const products::weight_panel & panel = scratch.of_thread(thread);
        const int64_t column = column_of(piece);
        const int64_t n_columns = std::min(steps.panel_width, args.n_columns - column);
        const int64_t row_begin = piece % split.n_stretches * split.stretch;
        const int64_t row_end = std::min(row_begin + split.stretch, args.n_rows);
        steps.pack(args, column, n_columns, panel);
        weights_ahead ahead(args, column_of(next_piece), steps.panel_width);
        for (int64_t row = row_begin; row < row_end; row += k_tile_rows) {
            ahead.fetch((row_end - row + k_tile_rows - 1) / k_tile_rows);
            fetch_rows(row + k_tile_rows, std::min(k_tile_rows, row_end - row - k_tile_rows));
            steps.multiply(
                args, scratch.rows(), panel,
                {row, std::min(k_tile_rows, row_end - row), n_columns, args.out + row * args.out_stride + column});
        }
    }
};

}  // namespace

product_context::product_context() noexcept = default;
product_context::~product_context() = default;

const char * name_of(weight_type type) noexcept {
    return products::format_of(type).name;
}

const char * name_of(product_arithmetic arithmetic) noexcept {
    switch (arithmetic) {
        case product_arithmetic::host:
            return "host";
        case product_arithmetic::f32:
            return "f32";
        case product_arithmetic::bf16:
            return "bf16";
        case product_arithmetic::i16:
            return "i16";
    }
    return "unknown";
}

int64_t weight_block_elems(weight_type type) noexcept {
    return products::format_of(type).block_elems;
}

int64_t weight_block_bytes(weight_type type) noexcept {
    return products::format_of(type).block_bytes;
}

std::vector<product_kernel_info> product_kernels() {
    std::vector<product_kernel_info> list;
    for (const products::kernel & k : products::all_kernels()) {
        if (products::runs_here(k)) {
            list.push_back({k.name, k.bf16.multiply != nullptr, k.i16.multiply != nullptr});
        }
    }
    return list;
}

status multiply_rows(const product_args & args, product_context & ctx) noexcept try {
    if (status s = validate(args, ctx); !s.ok()) {
        return s;
    }
    const products::kernel * chosen = nullptr;
    if (status s = products::choose_kernel(ctx.kernel, &chosen); !s.ok()) {
        return s;
    }
    if (args.n_rows == 0 || args.n_columns == 0) {
        return {};
    }
    if (ctx.memory == nullptr) {
        ctx.memory = std::make_unique<product_context::scratch>();
    }
    const products::steps * steps = choose_steps(args, *chosen);
    if (steps == nullptr) {
        return status::error(status_code::unsupported, "arithmetic: kernel \"%s\" has no %s", chosen->name,
                             name_of(args.arithmetic));
    }
    const work_split split = split_work(args, steps->panel_width, ctx.n_threads);
    const int n_threads = static_cast<int>(std::min<int64_t>(ctx.n_threads, std::max(split.size(), args.n_rows)));
    ctx.memory->reserve(args, *steps, n_threads);
    const products::rounding_key key = products::rounding_key_of(args, *steps);
    const product_work work{args, *steps, *ctx.memory, split, args.rows_unchanged && ctx.memory->holds(key)};
#pragma omp parallel num_threads(n_threads) default(none) shared(work)
    {
        constexpr int64_t k_rows_a_time = 8;
        const int thread = omp_get_thread_num();
        weights_ahead(work.args, work.column_of(thread), work.steps.panel_width).fetch(1);
        // Ends with all rows rounded.
#pragma omp for schedule(static)
        for (int64_t row = 0; row < work.n_rows_to_round(); row += k_rows_a_time) {
            work.round_rows(row, k_rows_a_time);
        }
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t piece = 0; piece < work.split.size(); ++piece) {
            work.multiply(piece, piece + omp_get_num_threads(), thread);
        }
    }
    ctx.memory->note_rounded(key);
    return {};
} catch (const std::bad_alloc &) {
    return status::error(status_code::out_of_memory, "no memory for the scratch of a product");
}

}  // namespace tmx
