#include "compare.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <utility>
#include <vector>

namespace tmx::test {
namespace {

constexpr double k_u32 = 0x1p-24;

double roundoff(rounding operands) {
    return operands == rounding::f32 ? k_u32 : operands == rounding::bf16 ? 0x1p-8 : 0x1p-11;
}
double allowance(rounding operands) {
    return operands == rounding::f32 ? 4.0 : 1.0;
}

double relative_noise(const oracle_row & row, rounding operands) {
    return roundoff(operands) * (2 + row.operand_spread) + k_u32 * 2 * row.logit_size;
}

const float * out_row(const attention_args & args, const oracle_row & row) {
    return args.out + row.batch * args.out_stride_batch + row.row * args.out_stride_row +
           row.head * args.out_stride_head;
}

float lse_of(const attention_args & args, const oracle_row & row) {
    return args.lse[(row.batch * args.n_head + row.head) * args.n_q + row.row];
}

bool same_kind(double x, double y) {
    if (std::isnan(x) || std::isnan(y)) {
        return std::isnan(x) && std::isnan(y);
    }
    return (!std::isinf(x) && !std::isinf(y)) || x == y;
}

// `kernel`, as near to the oracle as what it may have left out can explain: that is at most may_leave_out of the row's
// mass, which moves an average of values by at most twice the largest, and the sum of weights by its own share.
double explained(const oracle_row & row, double kernel, double oracle, double moved) {
    if (!(row.may_leave_out > 0)) {
        return kernel;
    }
    const double error = kernel - oracle;
    return oracle + std::copysign(std::max(0.0, std::fabs(error) - moved), error);
}
double explained_out(const oracle_row & row, double kernel, int64_t dim) {
    return explained(row, kernel, row.out[static_cast<size_t>(dim)], 2 * row.largest_value * row.may_leave_out);
}
double explained_lse(const oracle_row & row, double kernel) {
    return explained(row, kernel, row.lse, -std::log1p(-std::min(row.may_leave_out, 1.0)));
}

// The worst element of one (batch, head) slice, in noise units.
struct worst_element {
    double error = -1;
    const oracle_row * row = nullptr;
    int64_t dim = -1;  // -1: the log-sum-exp
    double kernel = 0;
    double plain = 0;
    double oracle = 0;
    double unit = 0;
};

struct slice {
    std::vector<const oracle_row *> rows;
    worst_element worst;
    double plain_error = 0;  // noise units
    worst_element worst_lse;
    double plain_lse_error = 0;
};

std::string describe(const char * what, const worst_element & at, double bound) {
    char place[96];
    if (at.dim >= 0) {
        std::snprintf(place, sizeof place, "(batch %lld, head %lld, row %lld, dim %lld)",
                      static_cast<long long>(at.row->batch), static_cast<long long>(at.row->head),
                      static_cast<long long>(at.row->row), static_cast<long long>(at.dim));
    } else {
        std::snprintf(place, sizeof place, "(batch %lld, head %lld, row %lld, lse)",
                      static_cast<long long>(at.row->batch), static_cast<long long>(at.row->head),
                      static_cast<long long>(at.row->row));
    }
    char text[512];
    std::snprintf(text, sizeof text, "%s at %s: kernel %.9g, plain %.9g, oracle %.9g; error %.3g, bound %.3g", what,
                  place, at.kernel, at.plain, at.oracle, std::fabs(at.kernel - at.oracle), bound);
    return text;
}

// Folds one value into `worst` and `plain_error`; false if the kinds (NaN, infinity, exact zero) differ.
bool fold(const worst_element & at, worst_element & worst, double & plain_error) {
    if (!same_kind(at.kernel, at.oracle)) {
        return false;
    }
    if (!std::isfinite(at.oracle)) {
        return true;
    }
    if (at.unit == 0) {
        return at.kernel == at.oracle;
    }
    plain_error = std::max(plain_error, std::fabs(at.plain - at.oracle) / at.unit);
    const double error = std::fabs(at.kernel - at.oracle) / at.unit;
    if (error > worst.error) {
        worst = at;
        worst.error = error;
    }
    return true;
}

std::string element_rule(slice & part, const attention_args & plain, const attention_args & kernel, rounding operands,
                         double & used) {
    for (const oracle_row * row : part.rows) {
        const double noise = relative_noise(*row, operands);
        for (int64_t dim = 0; dim < kernel.d_v; ++dim) {
            const worst_element at{0,
                                   row,
                                   dim,
                                   explained_out(*row, out_row(kernel, *row)[dim], dim),
                                   out_row(plain, *row)[dim],
                                   row->out[static_cast<size_t>(dim)],
                                   noise * row->largest_value};
            if (!fold(at, part.worst, part.plain_error)) {
                return describe("not the same kind of value", at, 0);
            }
        }
        if (kernel.lse != nullptr) {
            const worst_element at{0,
                                   row,
                                   -1,
                                   explained_lse(*row, lse_of(kernel, *row)),
                                   lse_of(plain, *row),
                                   row->lse,
                                   noise + k_u32 * std::fabs(row->lse)};
            if (!fold(at, part.worst_lse, part.plain_lse_error)) {
                return describe("not the same kind of value", at, 0);
            }
        }
    }
    const double c = allowance(operands);
    const double bound = 2 * part.plain_error + c;
    const double lse_bound = 2 * part.plain_lse_error + c;
    used = std::max({used, part.worst.error / bound, part.worst_lse.error / lse_bound});
    if (part.worst.error > bound) {
        return describe("worst element", part.worst, bound * part.worst.unit);
    }
    if (part.worst_lse.error > lse_bound) {
        return describe("worst log-sum-exp", part.worst_lse, lse_bound * part.worst_lse.unit);
    }
    return {};
}

std::string slice_rule(const slice & part, const attention_args & plain, const attention_args & kernel,
                       rounding operands, double & used) {
    double kernel_error = 0;
    double plain_error = 0;
    double size = 0;
    double noise = 0;
    for (const oracle_row * row : part.rows) {
        if (row->largest_value == 0) {
            continue;
        }
        const double weight = 1 / row->largest_value;
        const double unit = relative_noise(*row, operands) * row->value_spread * weight;
        for (int64_t dim = 0; dim < kernel.d_v; ++dim) {
            const double oracle = row->out[static_cast<size_t>(dim)] * weight;
            const double x = explained_out(*row, out_row(kernel, *row)[dim], dim) * weight;
            const double y = out_row(plain, *row)[dim] * weight;
            kernel_error += (x - oracle) * (x - oracle);
            plain_error += (y - oracle) * (y - oracle);
            size += x * x + oracle * oracle;
            noise += unit * unit;
        }
    }
    const double bound = 2 * std::sqrt(plain_error) + allowance(operands) * std::sqrt(noise);
    if (!(size > 0)) {
        return {};
    }
    used = std::max(used, std::sqrt(kernel_error) / bound);
    if (std::sqrt(kernel_error) <= bound) {
        return {};
    }
    char text[256];
    std::snprintf(text, sizeof text,
                  "slice (batch %lld, head %lld): cosine-type difference %.3g, of plain %.3g, bound %.3g; ",
                  static_cast<long long>(part.rows.front()->batch), static_cast<long long>(part.rows.front()->head),
                  kernel_error / size, plain_error / size, bound * bound / size);
    return text + describe("its worst element", part.worst, bound);
}

}  // namespace

comparison compare(std::span<const oracle_row> oracle, const attention_args & plain, const attention_args & kernel,
                   rounding operands) {
    std::map<std::pair<int64_t, int64_t>, slice> slices;
    for (const oracle_row & row : oracle) {
        slices[{row.batch, row.head}].rows.push_back(&row);
    }
    comparison result;
    for (auto & [place, part] : slices) {
        result.failure = element_rule(part, plain, kernel, operands, result.used);
        if (result.failure.empty()) {
            result.failure = slice_rule(part, plain, kernel, operands, result.used);
        }
        if (!result.failure.empty()) {
            break;
        }
    }
    return result;
}

}  // namespace tmx::test
