// cli/commands/bench_rows.h -- the rows of `trianglemix bench`: one a prompt length and mode, what they say, the file
// that keeps them, and the table and plot made of them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tmx {

using bench_row = nlohmann::ordered_json;

// What was measured of one mode at one length.
struct bench_cell {
    std::string mode;
    std::string setting;              // "fa on, ub 2048"
    std::string device;               // "": the CPU
    std::vector<double> ttft;         // seconds, one a repetition
    std::vector<double> decode_rate;  // tokens per second
    double kept_share = 1;            // of the pairs of our nodes
    bench_row stock_tried;            // how stock's setting was found; null: it was given, or the mode is not stock
};

// `who`: what all rows of this length share, "date" and "identity" (below) among it; then the cell's figures. stock:
// null if it was not measured. REQUIRES cell.ttft is not empty.
bench_row make_row(const bench_row & who, int64_t n_tokens, const bench_cell & cell, const bench_cell * stock);

// Rows of an earlier run for which a length need not be measured again: one of every mode, all of one run, whose
// "identity" (all that can change a time) is this, with at least as many repetitions. None if one is missing. Of
// several runs the last counts.
std::optional<std::vector<bench_row>> find_rows(const std::vector<bench_row> & file, const bench_row & identity,
                                                int64_t n_tokens, const std::vector<std::string> & modes,
                                                int64_t n_repeat);

std::vector<bench_row> read_rows(const std::string & path);  // lines that are no rows are passed over

// Behind whatever the file holds, a line each; a line that a crash cut short is ended first. ERRORS failure.
void append_rows(const std::string & path, const std::vector<bench_row> & rows);

std::string table_of(const std::vector<bench_row> & rows, int width);

// As draw_plot().
std::string draw_rows(const std::string & prefix, const std::string & title, const std::vector<bench_row> & rows);

}  // namespace tmx
