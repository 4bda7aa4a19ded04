// cli/options.h -- options that several subcommands share, declared once, and what they come to.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/arm.h"
#include "runtime/model.h"
#include "trianglemix/plan.h"

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
constexpr int64_t k_most_tokens = 2147483647;  // positions of llama.cpp are 32-bit

void add_model_options(CLI::App & app, model_options & options);

struct plan_options {
    std::string reference;  // --plan
    std::string layers;     // --layers
    std::string dynamic;    // --dynamic
    std::optional<int64_t> sink, window, last;
    std::string tail;  // "" = prompt where the length is known
    bool exact = false;
    std::string precision;  // "" = the plan's, else exact

    bool types_layers() const { return !layers.empty() || !dynamic.empty(); }
};
void add_plan_options(CLI::App & app, plan_options & options);

// What the options mean for a model.
struct chosen_plan {
    plan value;           // with every option applied
    bool sparse = false;  // a layer is triangle or dynamic; false: exact, `value` only tells the precision
    std::string source;   // where it came from, for people: "preset smollm2-135m-instruct", "plan.json", "--layers"
    std::string note;     // not empty: what to tell the user about the choice
    int64_t n_planned() const;  // layers that are triangle, dynamic, or both
    bool any_dynamic() const;
    std::string layers() const;  // "20 of 30 layers triangle: 10-29"
};

// --plan / --layers and --dynamic / --exact, else the preset made for this very model (its name and its shape both fit)
// if it was measured here, else exact: a preset that was not is only named, in `note`.
// length_known: prompts come through us, so the tail policy is `prompt` unless --tail says otherwise; else it is the
// plan's. ERRORS failure: unreadable, or it does not fit the model.
chosen_plan choose_plan(const plan_options & options, const model_facts & facts, bool length_known);

// "" unless that many tokens ("the prompt", "the context") are far beyond what the plan was measured on.
std::string length_note(const plan & p, int64_t n_tokens, const std::string & what);

// "" unless the plan skips nothing in a prompt of that length. What dynamic layers skip is not known before.
std::string nothing_skipped_note(const chosen_plan & chosen, int64_t n_prompt);

// The model that a plan was made for, as far as the plan tells: for uses without a model file.
// ERRORS failure: the plan cannot be read.
model_facts facts_of_plan(const std::string & reference);

// Whether a GGUF's general.name names the model that a preset is for: every word of the preset's name, "instruct" left
// out (model files often leave it out), is a word of it.
bool preset_names_model(std::string_view preset, const std::string & general_name);

// Loads the model, with a progress line on a terminal. Says what the backend warned of when it was loaded, and that -c
// goes beyond what the model was trained for. ERRORS failure, check_file()'s too.
model load_model(const model_options & options, const std::atomic<bool> & stop);

}  // namespace tmx
