#include "report.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "../kernel/row_facts.h"
#include "../kernel/timer.h"

namespace tmx::bench {
namespace {

double gflops(const product_shape & shape, const finish & f) {
    return shape.flops() / median(f.seconds) * 1e-9;
}

double ratio(const finish & f, const finish & stock) {
    return median(stock.seconds) / median(f.seconds);
}

}  // namespace

void print_line(std::FILE * out, const rival_types & type, const product_shape & shape, const finish & f,
                const finish & stock) {
    fmt::print(out, "{:5} {:5} x {:5} x {:5}  {:27} {:12} {:7.1f} GFLOP/s {:5.2f}x", type.name, shape.n_rows,
               shape.depth, shape.n_columns, f.way, f.version, gflops(shape, f), ratio(f, stock));
    if (f.difference) {
        fmt::print(out, "  differs by {:.1e} of the largest", *f.difference);
    }
    fmt::print(out, "{}\n", f.right() ? "" : ": too much");
}

std::string json_line(const rival_types & type, const product_shape & shape, const contest_options & options,
                      const finish & f, const finish & stock, const std::string & command) {
    nlohmann::ordered_json row;
    row["type"] = type.name;
    row["rows"] = shape.n_rows;
    row["depth"] = shape.depth;
    row["columns"] = shape.n_columns;
    row["threads"] = options.n_threads;
    row["way"] = f.way;
    row["version"] = f.version;
    row["reps"] = f.seconds.size();
    row["median_s"] = median(f.seconds);
    row["p10_s"] = quantile(f.seconds, 0.1);
    row["p90_s"] = quantile(f.seconds, 0.9);
    row["gflops"] = gflops(shape, f);
    row["ratio"] = ratio(f, stock);
    row["difference"] = f.difference ? nlohmann::json(*f.difference) : nlohmann::json(nullptr);
    row["creation_s"] = f.creation_seconds > 0 ? nlohmann::json(f.creation_seconds) : nlohmann::json(nullptr);
    row["others_cpu_share"] = f.others.share();
    add_row_facts(row, command);
    return row.dump();
}

}  // namespace tmx::bench
