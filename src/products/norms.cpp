// The public entry of norms: checks arguments, picks the kernel, gives each thread its rows.
#include "trianglemix/norms.h"

#include <cmath>

#include "products/kernel.h"

namespace tmx {
namespace {

status validate(const norm_args & args, int32_t n_threads) noexcept {
    const auto invalid = [](const char * field, int64_t value) {
        return status::error(status_code::invalid_argument, "%s: found %lld", field, static_cast<long long>(value));
    };
    if (args.width < 1) {
        return invalid("width", args.width);
    }
    for (const int64_t n : args.n_rows) {
        if (n < 0) {
            return invalid("n_rows", n);
        }
    }
    if (!(args.epsilon >= 0.0f) || std::isinf(args.epsilon)) {
        return status::error(status_code::invalid_argument, "epsilon: found %g", static_cast<double>(args.epsilon));
    }
    if (n_threads < 1) {
        return invalid("n_threads", n_threads);
    }
    const bool empty = args.n_rows[0] * args.n_rows[1] * args.n_rows[2] == 0;
    if (!empty && (args.rows == nullptr || args.out == nullptr)) {
        return status::error(status_code::invalid_argument, "rows, out: null");
    }
    return {};
}

}  // namespace

status normalise_rows(const norm_args & args, int32_t n_threads, const char * kernel) noexcept {
    if (status s = validate(args, n_threads); !s.ok()) {
        return s;
    }
    const products::kernel * chosen = nullptr;
    if (status s = products::choose_kernel(kernel, &chosen); !s.ok()) {
        return s;
    }
    const auto norm_row = chosen->norm_row;
    const int64_t n_rows = args.n_rows[0] * args.n_rows[1] * args.n_rows[2];
#pragma omp parallel for schedule(static) num_threads(n_threads) default(none) shared(args) \
    firstprivate(n_rows, norm_row)
    for (int64_t row = 0; row < n_rows; ++row) {
        const int64_t i0 = row % args.n_rows[0];
        const int64_t i1 = row / args.n_rows[0] % args.n_rows[1];
        const int64_t i2 = row / args.n_rows[0] / args.n_rows[1];
        const auto offset = [&](const std::array<int64_t, 3> & strides) {
            return i0 * strides[0] + i1 * strides[1] + i2 * strides[2];
        };
        norm_row(args, args.rows + offset(args.row_strides), args.out + offset(args.out_strides));
    }
    return {};
}

}  // namespace tmx
