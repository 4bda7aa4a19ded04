// report.h -- one measurement as a table line and as a JSON line.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "neighbours.h"

namespace tmx::bench {

struct measurement {
    std::string name;     // what ran: "dense exact"
    std::string kernel;   // one of cpu_kernels(), or ggml's version
    std::string ceiling;  // name of the ceiling that bounds it; empty: none measured
    long long tokens = 0;
    double gflop = 0;  // of one run, kept pairs only
    double ceiling_gflops = 0;
    std::vector<double> seconds;  // of the repeats, in order
    neighbours others;            // what else ran on the machine meanwhile
    std::string baseline;         // what `ratio` compares with; empty: nothing
    double ratio = 0;             // baseline's median / ours: above 1 is faster
};

// The run that all its measurements share.
struct run_facts {
    std::string model;
    int n_head = 0;
    int n_head_kv = 0;
    int dim = 0;
    int n_threads = 0;
    std::string command;
};

// Above this share of the machine in other hands a figure is not worth keeping.
constexpr double k_too_busy = 0.05;

void print_header(std::FILE * out);
void print_line(std::FILE * out, const measurement & m);

// Keys: case, model, tokens, heads, heads_kv, dim, threads, kernel, reps, median_s, p10_s, p90_s, gflops, ceiling,
// ceiling_gflops, share_of_ceiling, others_cpu_share, baseline, ratio, command, commit, compiler, flags, device,
// cores, unix_time. A value that was not measured is null.
std::string json_line(const run_facts & facts, const measurement & m);

}  // namespace tmx::bench
