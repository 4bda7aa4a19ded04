// cli/compare.h -- the same prompt computed several ways in one process, and how the ways differ.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "runtime/arm.h"
#include "runtime/statistics.h"

namespace tmx {

struct compare_options {
    std::string stock = "default";  // "default": flash attention off, ubatch 512; "best": the fastest of four settings
    int64_t n_repeat = 1;
    int64_t n_answer = 128;   // most tokens of an answer
    int64_t n_compared = 64;  // most tokens of stock's answer that the others are forced through
};

// What one arm did. Times are of every repetition, the rest of the first.
struct arm_report {
    arm how;
    std::string setting;              // "flash attention off, ubatch 512"
    std::vector<double> ttft;         // seconds
    std::vector<double> decode_rate;  // tokens per second; empty if fewer than two tokens were decoded
    greedy_answer answer;
    logit_rows rows;                               // first token, then behind each compared token of stock's answer
    std::optional<backend_statistics> statistics;  // of the prefill; none for stock
    std::optional<fidelity> to_stock;
    std::optional<fidelity> to_exact;

    double median_ttft() const { return median(ttft); }
};

struct prompt_setup {
    std::vector<token_id> ids;
    context_options context;  // of our arms
};

// Stock llama.cpp's arm, ours without a plan, and ours with what `chosen` asks for (a plan, fast precision, or neither:
// then there is no third arm).
std::vector<arm> arms_to_compare(const prompt_setup & prompt, const chosen_plan & chosen);
arm exact_arm(const prompt_setup & prompt);
arm planned_arm(const prompt_setup & prompt, const chosen_plan & chosen);  // exact if `chosen` has no triangle layer
arm stock_arm(const prompt_setup & prompt, bool flash_attention, int32_t n_ubatch);

// Runs them, interleaved over the repetitions, with progress on stderr. ERRORS failure, interrupted.
std::vector<arm_report> compare(backend & b, const model & m, const prompt_setup & prompt, const chosen_plan & chosen,
                                const compare_options & options);

// The side-by-side table and the answers, for a screen of that width.
std::string print_comparison(const model & m, const prompt_setup & prompt, const chosen_plan & chosen,
                             const std::vector<arm_report> & reports, int width);

nlohmann::ordered_json report_json(const model & m, const prompt_setup & prompt, const arm_report & report);

}  // namespace tmx
