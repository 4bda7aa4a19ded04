// bench/measure_plan/records.h -- the JSON lines that tmx_measure_plan writes, reads back to resume, and sums up.
#pragma once

#include <cstdint>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "runtime/fidelity.h"

namespace tmx {

// One prompt computed one way, compared with the dense computation of the same tokens.
struct record {
    std::string stage;      // ablate, grow, check, baseline
    std::string model;      // file name
    std::string arm;        // layers as typed ("5", "10-29", "none"), or the name of a baseline
    std::string precision;  // of our arms
    std::string kind;       // of the prompt
    int64_t length = 0;     // asked for, tokens
    int64_t sample = 0;
    uint64_t seed = 0;
    int64_t n_tokens = 0;  // of the prompt
    int64_t n_layers = 0;  // triangle layers
    fidelity distance;     // from the dense (or baseline) reference
    double margin = 0;     // p1 - p2 of the reference's first token
    double prefill_seconds = 0;
    std::string command;  // only written

    std::string key() const;  // what makes a measurement the same one
};

class record_file {
  public:
    // Opens for appending and reads what is there. A half-written last line (a killed run) is dropped and measured
    // again. ERRORS failure: cannot be opened, or a line is not a record.
    explicit record_file(const std::string & path);

    bool has(const record & r) const { return keys_.contains(r.key()); }
    void append(const record & r);
    const std::vector<record> & all() const { return records_; }

  private:
    std::ofstream out_;
    std::vector<record> records_;
    std::set<std::string> keys_;
};

std::vector<record> read_records(const std::string & path);  // ERRORS failure

}  // namespace tmx
