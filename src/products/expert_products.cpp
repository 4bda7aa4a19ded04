#include "products/expert_products.h"

#include <algorithm>
#include <new>

namespace tmx {
namespace {

void grow(std::unique_ptr<float[]> & memory, int64_t & n_elems, int64_t wanted) {
    if (wanted > n_elems) {
        memory = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(wanted));
        n_elems = wanted;
    }
}

}  // namespace

void expert_products::reserve(const product_args & args, int64_t n_rows) {
    grow(in_, in_elems_, n_rows * args.depth);
    grow(out_, out_elems_, n_rows * args.n_columns);
}

void expert_products::gather(const expert_product_args & args, int64_t begin, int64_t end, int n_threads) {
    const product_args & first = args.first;
#pragma omp parallel for schedule(static) num_threads(n_threads) default(none) shared(args, first, begin, end)
    for (int64_t i = begin; i < end; ++i) {
        const expert_row & from = rows_[i];
        std::copy_n(first.rows + from.token * first.row_stride + from.slot * args.row_slot_stride, first.depth,
                    in_.get() + (i - begin) * first.depth);
    }
}

void expert_products::scatter(const expert_product_args & args, int64_t begin, int64_t end, int n_threads) const {
    const product_args & first = args.first;
#pragma omp parallel for schedule(static) num_threads(n_threads) default(none) shared(args, first, begin, end)
    for (int64_t i = begin; i < end; ++i) {
        const expert_row & to = rows_[i];
        std::copy_n(out_.get() + (i - begin) * first.n_columns, first.n_columns,
                    first.out + to.token * first.out_stride + to.slot * args.out_slot_stride);
    }
}

status expert_products::multiply(const expert_product_args & args, product_context & context) noexcept try {
    const product_args & first = args.first;
    product_args none = first;
    none.n_rows = 0;
    if (status s = multiply_rows(none, context); !s.ok()) {  // checks what all calls below have in common
        return s;
    }
    if (status s = rows_.sort(args.choice); !s.ok()) {
        return s;
    }
    reserve(first, std::min(rows_.size(), k_stretch));
    for (int64_t begin = 0; begin < rows_.size();) {
        const int64_t end = rows_.stretch_end(begin, k_stretch);
        gather(args, begin, end, context.n_threads);
        for (int64_t row = begin; row < end;) {
            const int64_t expert = rows_.expert_of(row);
            product_args part = first;
            part.weights = static_cast<const char *>(first.weights) + expert * args.expert_stride_bytes;
            part.rows = in_.get() + (row - begin) * first.depth;
            part.row_stride = first.depth;
            part.out = out_.get() + (row - begin) * first.n_columns;
            part.out_stride = first.n_columns;
            part.n_rows = std::min(end, rows_.end_of(expert)) - row;
            if (status s = multiply_rows(part, context); !s.ok()) {
                return s;
            }
            row += part.n_rows;
        }
        scatter(args, begin, end, context.n_threads);
        begin = end;
    }
    return {};
} catch (const std::bad_alloc &) {
    return status::error(status_code::out_of_memory, "no memory for the rows of a mixture's product");
}

}  // namespace tmx
