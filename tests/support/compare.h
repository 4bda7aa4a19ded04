// compare.h -- when is a kernel's result right? The error bound is derived from the data, not tuned.
//
// A row of attention is o = sum_j p_j v_j with p = softmax(s). Let u be the unit roundoff of the products' operands
// (2^-24 for f32, 2^-8 for bf16, 2^-11 for f16), u32 = 2^-24, V the largest |v| that the row keeps. To first order:
//   - rounding v_j, p_j, the sum's last step and the division moves o by a few u * V. Two of them do not average out;
//   - rounding the operands of s_j = scale * sum_d q_d k_jd moves s_j by about u * scale * sqrt(sum_d (q_d k_jd)^2),
//     because the D roundings are independent. Call its mean under p R; o moves by at most that times V (and o itself,
//     the same size);
//   - s_j is then scaled, capped, biased and scaled again to base 2 in f32: each step rounds a number of the size of
//     s_j, the cap or the bias. Call the mean of their sum L; two such steps count.
// Hence a row's NOISE UNIT  n = V * (u * (2 + R) + u32 * 2 * L).
//
// Element rule  |kernel - oracle| / n <= 2 * max over the (batch, head) slice of |plain - oracle| / n + c. plain is the
//               same formula written naively in the same precision (plain.h). c is 4 for f32: a different order of
//               summation, online rescaling and a polynomial exp each add about one. It is 1 for bf16 and f16: those
//               are f32 steps there, and only whether the softmax sum adds rounded weights is free.
// Slice rule    cosine-type difference d(x) = |x - oracle|^2 / (|x|^2 + |oracle|^2) of each slice:
//               sqrt(d(kernel)) <= 2 * sqrt(d(plain)) + c * |n'| / sqrt(|x|^2 + |oracle|^2), with n' as n, but with
//               sqrt(sum_j p_j^2 v_j^2) for V: independent roundings add by squares. Each row is divided by its V
//               first. It sees small errors everywhere that no single element shows, as one key too many in a
//               window of hundreds.
// Left out      a kernel may leave out keys of at most oracle_row::may_leave_out of a row's mass, which moves out by
//               at most 2 V times that: so much of an error is not counted.
// Also          NaN and infinity exactly where the oracle has them; a row that keeps nothing is exactly 0; log-sum-exp
//               by the element rule with n = u * (2 + R) + u32 * (2 * L + |lse|).
#pragma once

#include <span>
#include <string>

#include "oracle.h"
#include "plain.h"
#include "trianglemix/attention.h"

namespace tmx::test {

struct comparison {
    std::string
        failure;      // empty if the kernel passes, else the worst (batch, head, row, dim), all values and the bound
    double used = 0;  // largest error found, as a share of its bound; above 1 fails
};

// `plain` and `kernel` are the args of the two calls; they differ in out and lse.
comparison compare(std::span<const oracle_row> oracle, const attention_args & plain, const attention_args & kernel,
                   rounding operands);

inline comparison compare(std::span<const oracle_row> oracle, const attention_args & plain,
                          const attention_args & kernel, precision arithmetic) {
    return compare(oracle, plain, kernel, rounding_of(arithmetic));
}

}  // namespace tmx::test
