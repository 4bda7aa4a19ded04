#include "trianglemix/expert_products.h"

#include <algorithm>
#include <new>

#include "cpu_base/scratch_block.h"
#include "products/expert_rows.h"

namespace tmx {

struct expert_context::scratch {
    expert_rows rows;
    cpu_base::scratch_block in;   // [stretch, depth] f32
    cpu_base::scratch_block out;  // [stretch, n_columns] f32
};

namespace {

// Rows [begin, end) as the experts have them.
struct stretch {
    const expert_product_args & args;
    const expert_context::scratch & scratch;
    int64_t begin;
    int64_t end;

    float * in(int64_t row) const {
        return reinterpret_cast<float *>(scratch.in.get()) + (row - begin) * args.first.depth;
    }
    float * out(int64_t row) const {
        return reinterpret_cast<float *>(scratch.out.get()) + (row - begin) * args.first.n_columns;
    }

    void gather(int n_threads) const {
        const product_args & first = args.first;
#pragma omp parallel for schedule(static) num_threads(n_threads) default(none) shared(first)
        for (int64_t row = begin; row < end; ++row) {
            const expert_row & from = scratch.rows[row];
            std::copy_n(first.rows + from.token * first.row_stride + from.slot * args.row_slot_stride, first.depth,
                        in(row));
        }
    }

    status multiply(product_context & products) const {
        product_args part = args.first;
        part.row_stride = part.depth;
        part.out_stride = part.n_columns;
        for (int64_t row = begin; row < end; row += part.n_rows) {
            const int64_t expert = scratch.rows.expert_of(row);
            part.weights = static_cast<const char *>(args.first.weights) + expert * args.expert_stride_bytes;
            part.rows = in(row);
            part.out = out(row);
            part.n_rows = std::min(end, scratch.rows.end_of(expert)) - row;
            if (status s = multiply_rows(part, products); !s.ok()) {
                return s;
            }
        }
        return {};
    }

    void scatter(int n_threads) const {
        const product_args & first = args.first;
#pragma omp parallel for schedule(static) num_threads(n_threads) default(none) shared(first)
        for (int64_t row = begin; row < end; ++row) {
            const expert_row & to = scratch.rows[row];
            std::copy_n(out(row), first.n_columns,
                        first.out + to.token * first.out_stride + to.slot * args.out_slot_stride);
        }
    }
};

}  // namespace

expert_context::expert_context() noexcept = default;
expert_context::~expert_context() = default;

status multiply_expert_rows(const expert_product_args & args, product_context & products,
                            expert_context & experts) noexcept try {
    product_args none = args.first;
    none.n_rows = 0;
    if (status s = multiply_rows(none, products); !s.ok()) {  // checks what all calls below have in common
        return s;
    }
    if (experts.memory == nullptr) {
        experts.memory = std::make_unique<expert_context::scratch>();
    }
    expert_context::scratch & scratch = *experts.memory;
    if (status s = scratch.rows.sort(args.choice); !s.ok()) {
        return s;
    }
    const int64_t n_rows = scratch.rows.size();
    const size_t row_bytes = static_cast<size_t>(std::min(n_rows, k_expert_stretch)) * sizeof(float);
    scratch.in.reserve(row_bytes * static_cast<size_t>(args.first.depth));
    scratch.out.reserve(row_bytes * static_cast<size_t>(args.first.n_columns));
    for (int64_t begin = 0; begin < n_rows;) {
        const stretch part{args, scratch, begin, scratch.rows.stretch_end(begin, k_expert_stretch)};
        part.gather(products.n_threads);
        if (status s = part.multiply(products); !s.ok()) {
            return s;
        }
        part.scatter(products.n_threads);
        begin = part.end;
    }
    return {};
} catch (const std::bad_alloc &) {
    return status::error(status_code::out_of_memory, "no memory for the rows of a mixture's product");
}

}  // namespace tmx
