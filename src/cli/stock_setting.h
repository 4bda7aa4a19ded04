// cli/stock_setting.h -- the setting with which stock llama.cpp runs beside our arms: one that was asked for, or the
// fastest of those that its users can choose, found for this prompt, on this machine, in this run.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/arms.h"

namespace tmx {

std::string show_setting(const stock_setting & setting);  // "fa on, ub 512"

// "on-512", "off-2048": flash attention and ubatch. None: the text is something else.
std::optional<stock_setting> parse_stock_setting(const std::string & text);

// --stock: "best", or a setting.
CLI::Option * add_stock_option(CLI::App & app, std::string & stock);

// Every setting that can be the fastest for a prompt of that length, llama.cpp's own default first. Ubatches that hold
// the whole prompt compute the same, so the smallest of them stands for all. our_ubatch: tried, too.
std::vector<stock_setting> stock_candidates(int64_t n_prompt, int32_t our_ubatch);

// A bound below the whole prefill's seconds, from the times at which its first chunks ended (chunk i behind
// end_token[i] tokens at seconds[i]): a later token sees more keys than an earlier one, so each of the rest takes at
// least as long as those of the later half of what is done. 0 while less than a quarter of the prompt is done.
double least_seconds(const std::vector<double> & end_token, const std::vector<double> & seconds, double n_tokens);

struct stock_try {
    stock_setting setting;
    double seconds = 0;    // of the prefill, or until it was given up
    bool finished = true;  // false: given up, since it could no longer be the fastest; or not run at all
    std::string left_out;  // why it was not run; "" if it was
};

struct stock_search {
    std::vector<stock_try> tried;
    size_t fastest = 0;

    const stock_setting & winner() const { return tried[fastest].setting; }
    std::string text() const;  // "fa on, ub 512: 19.8 s; fa off, ub 512: given up after 12.2 s"
    nlohmann::ordered_json json() const;
};

// Runs every candidate once. run_one gets a setting and the seconds of the fastest so far (infinite before the first).
// ERRORS failure: none of them finished.
stock_search find_fastest(const std::vector<stock_setting> & candidates,
                          const std::function<stock_try(const stock_setting &, double)> & run_one);

// The same by prefills of this prompt, with progress on stderr. ERRORS failure, interrupted.
stock_search find_fastest_stock(backend & b, arm_models & models, const prompt_setup & prompt);

}  // namespace tmx
