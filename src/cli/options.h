// cli/options.h -- options that several subcommands share, declared once, and what they come to.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "identity/choose_plan.h"
#include "runtime/arm.h"
#include "runtime/model.h"

namespace tmx {

// How --help shows an option instead of the parser's own way: what it takes, and its default ("": nothing to show).
CLI::Option * shown(CLI::Option * option, const std::string & takes, const std::string & otherwise);

struct model_options {
    std::string path;     // "" = the embedded model
    int32_t threads = 0;  // 0: all that this process may use
    int32_t n_ctx = 0;    // 0: the model's training length
    int32_t n_ubatch = 2048;
    std::string device;  // a GPU of ggml, "TriangleMix0"; "": the CPU
    bool verbose = false;

    std::string file() const;  // the path, or the embedded model's
    void check_file() const;   // ERRORS failure: there is no such file; of the embedded model, how to get it
};

// Checks of numbers whose messages are for people: the parser's own spell "no bound" in 309 digits.
CLI::Validator whole_number(int64_t least, int64_t most);
CLI::Validator positive_number();
CLI::Validator share();                        // above 0, at most 1
constexpr int64_t k_most_tokens = 2147483647;  // positions of llama.cpp are 32-bit

// on_gpus: with --device.
void add_model_options(CLI::App & app, model_options & options, bool on_gpus = true);

void add_plan_options(CLI::App & app, plan_options & options);

// plan_for_model(). ERRORS failure: unreadable, or it does not fit the model.
chosen_plan choose_plan(const plan_options & options, const model_identity & facts, bool length_known);

// "" unless the plan skips nothing in a prompt of that length. What dynamic layers skip is not known before.
std::string nothing_skipped_note(const chosen_plan & chosen, int64_t n_prompt);

// The model that a plan was made for, as far as the plan tells: for uses without a model file.
// ERRORS failure: the plan cannot be read.
model_facts facts_of_plan(const std::string & reference);

// Loads the model, with a progress line on a terminal. Says what the backend warned of when it was loaded, and that -c
// goes beyond what the model was trained for. ERRORS failure, check_file()'s too.
model load_model(const model_options & options, const std::atomic<bool> & stop);

}  // namespace tmx
