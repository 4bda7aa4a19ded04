// report.h -- one way of multiplying as a line and as a JSON line.
#pragma once

#include <cstdio>
#include <string>

#include "contest.h"

namespace tmx::bench {

// `stock` is the first of the same contest.
void print_line(std::FILE * out, const rival_types & type, const product_shape & shape, const finish & f,
                const finish & stock);

// Keys: type, rows, depth, columns, threads, way, version, reps, median_s, p10_s, p90_s, gflops, ratio (stock's median
// by this one: above 1 is faster), difference, creation_s, others_cpu_share, and those of row_facts.h. A value that was
// not measured is null.
std::string json_line(const rival_types & type, const product_shape & shape, const contest_options & options,
                      const finish & f, const finish & stock, const std::string & command);

}  // namespace tmx::bench
