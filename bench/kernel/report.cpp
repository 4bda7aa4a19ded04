#include "report.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "row_facts.h"
#include "timer.h"

namespace tmx::bench {
namespace {

double gflops(const measurement & m) {
    return m.gflop / median(m.seconds);
}

nlohmann::json number_or_null(double value) {
    return value > 0 ? nlohmann::json(value) : nlohmann::json(nullptr);
}

}  // namespace

void print_header(std::FILE * out) {
    fmt::print(out, "{:<24}{:<22}{:>5}{:>11}{:>11}{:>11}{:>10}{:>11}{:>10}{:>8}\n", "case", "kernel", "reps",
               "median s", "p10 s", "p90 s", "GFLOP/s", "of ceiling", "speed-up", "others");
}

void print_line(std::FILE * out, const measurement & m) {
    const std::string share = m.ceiling_gflops > 0 ? fmt::format("{:.0f}%", 100 * gflops(m) / m.ceiling_gflops) : "-";
    const std::string ratio = m.ratio > 0 ? fmt::format("{:.2f}x", m.ratio) : "-";
    fmt::print(out, "{:<24}{:<22}{:>5}{:>11.4f}{:>11.4f}{:>11.4f}{:>10.1f}{:>11}{:>10}{:>8}\n", m.name, m.kernel,
               m.seconds.size(), median(m.seconds), quantile(m.seconds, 0.1), quantile(m.seconds, 0.9), gflops(m),
               share, ratio, fmt::format("{:.0f}%", 100 * m.others.share()));
}

std::string json_line(const run_facts & facts, const measurement & m) {
    nlohmann::ordered_json row;
    row["case"] = m.name;
    row["model"] = facts.model;
    row["tokens"] = m.tokens;
    row["heads"] = facts.n_head;
    row["heads_kv"] = facts.n_head_kv;
    row["dim"] = facts.dim;
    row["threads"] = facts.n_threads;
    row["kernel"] = m.kernel;
    row["reps"] = m.seconds.size();
    row["median_s"] = median(m.seconds);
    row["p10_s"] = quantile(m.seconds, 0.1);
    row["p90_s"] = quantile(m.seconds, 0.9);
    row["gflops"] = gflops(m);
    row["ceiling"] = m.ceiling.empty() ? nlohmann::json(nullptr) : nlohmann::json(m.ceiling);
    row["ceiling_gflops"] = number_or_null(m.ceiling_gflops);
    row["share_of_ceiling"] = number_or_null(m.ceiling_gflops > 0 ? gflops(m) / m.ceiling_gflops : 0);
    row["others_cpu_share"] = m.others.share();
    row["baseline"] = m.baseline.empty() ? nlohmann::json(nullptr) : nlohmann::json(m.baseline);
    row["ratio"] = number_or_null(m.ratio);
    add_row_facts(row, facts.command);
    return row.dump();
}

}  // namespace tmx::bench
