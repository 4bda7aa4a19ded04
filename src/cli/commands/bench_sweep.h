// cli/commands/bench_sweep.h -- what `trianglemix bench` measures: every mode at every prompt length, interleaved.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/arms.h"
#include "cli/commands/bench_rows.h"
#include "cli/commands/commands.h"
#include "cli/options.h"

namespace tmx {

struct bench_options {
    model_options model;
    plan_options plan;
    std::vector<int64_t> lengths = {1024, 2048, 4096, 7500};
    std::vector<std::string> modes = {"stock", "exact", "plan"};
    std::string stock = "best";
    int64_t n_repeat = 3;
    int64_t n_decode = 0;
    std::string document = "/usr/share/common-licenses/GPL-3";
    std::string out;
    std::string plot;
    bool restart = false;
    bool json = false;
};

int32_t threads_of(const bench_options & options);

// Tokens of the context in which a prompt of that length is computed, and what is decoded behind it.
int32_t context_for(int64_t length, const bench_options & options);

class sweep {
  public:
    // Reads the document. ERRORS failure. What is referred to must outlive the sweep.
    sweep(const bench_options & options, backend & b, arm_models & models, const chosen_plan & chosen,
          const invocation & call);

    // ERRORS failure, interrupted: what was measured till then is in rows().
    void run();

    // By length; of a length that was broken off, the modes that were timed at least once.
    std::vector<bench_row> rows() const;

    size_t n_whole() const { return whole_.size(); }  // lengths that are done

  private:
    const bench_options & options_;
    backend & backend_;
    arm_models & models_;
    const chosen_plan & chosen_;
    const invocation & call_;
    std::vector<token_id> document_;
    bench_row identity_;
    std::map<int64_t, std::vector<bench_row>> whole_;  // of lengths that are done
    int64_t length_ = 0;                               // the one that is being measured
    std::vector<bench_cell> cells_;                    // ... one a mode

    void reuse_rows();
    void measure(int64_t length);
    void time_once(const arm & a, const prompt_setup & prompt, int64_t repetition, bench_cell & cell);
    std::vector<bench_row> rows_of_cells() const;
};

}  // namespace tmx
