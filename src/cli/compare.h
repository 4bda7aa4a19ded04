// cli/compare.h -- the same prompt computed several ways in one process, and how the ways differ.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/arms.h"
#include "cli/stock_setting.h"
#include "runtime/statistics.h"

namespace tmx {

struct compare_options {
    std::string stock = "best";  // stock's setting, as parse_stock_setting() reads it; "best": the fastest is found
    int64_t n_repeat = 0;        // 0: as repetitions_for() says
    int64_t n_answer = 128;      // most tokens of an answer
    int64_t n_compared = 64;     // most tokens of stock's answer that the others are forced through
};

// What one arm did. Times are of every repetition, the rest of the first.
struct arm_report {
    arm how;
    std::string setting;              // "fa off, ub 512"
    std::string device;               // "": the CPU
    std::vector<double> ttft;         // seconds
    std::vector<double> decode_rate;  // tokens per second; empty if fewer than two tokens were decoded
    greedy_answer answer;
    logit_rows rows;                               // first token, then behind each compared token of stock's answer
    std::optional<backend_statistics> statistics;  // of the prefill; none for stock
    std::optional<fidelity> to_stock;
    std::optional<fidelity> to_exact;

    double median_ttft() const { return median(ttft); }
};

struct comparison {
    std::optional<stock_search> search;  // none: stock's setting was given
    std::vector<arm_report> reports;     // stock, exact, and what the plan asks for, if anything
};

// How often each arm is worth running when the first round took that long: three times where that is soon done, twice
// within some minutes, else once.
int64_t repetitions_for(double round_seconds);

// Runs stock llama.cpp's arm, ours without a plan, and ours with what `chosen` asks for (a plan, fast precision, or
// neither: then there is no third arm), interleaved over the repetitions, with progress on stderr.
// ERRORS failure, interrupted.
comparison compare(backend & b, arm_models & models, const prompt_setup & prompt, const chosen_plan & chosen,
                   const compare_options & options);

// The side-by-side table and the answers, for a screen of that width.
std::string print_comparison(const model & m, const prompt_setup & prompt, const chosen_plan & chosen,
                             const comparison & compared, int width);

nlohmann::ordered_json report_json(const model & m, const prompt_setup & prompt, const arm_report & report);

}  // namespace tmx
