// identity/choose_plan.h -- which plan is meant for a model: what the user asked for, held against the model, or the
// preset made for it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "identity/model_identity.h"
#include "trianglemix/plan.h"

namespace tmx {

struct plan_options {
    std::string reference;  // as load_plan() takes it; "": none named
    std::string text;       // a plan itself, JSON, instead
    std::string layers;     // triangle layers
    std::string dynamic;    // dynamic layers with their rules
    std::optional<int64_t> sink, window, last;
    std::string tail;  // "" = prompt where the length is known
    bool exact = false;
    std::string precision;  // "" = the plan's, else exact

    bool types_layers() const { return !layers.empty() || !dynamic.empty(); }
};

// What the options mean for a model.
struct chosen_plan {
    plan value = {};          // with every option applied
    bool sparse = false;      // a layer is triangle or dynamic; false: exact, `value` only tells the precision
    std::string source = {};  // where it came from, for people: "preset smollm2-135m-instruct", "plan.json", "--layers"
    std::string note = {};    // not empty: what to tell the user about the choice

    int64_t n_planned() const;  // layers that are triangle, dynamic, or both
    bool any_dynamic() const;
    std::string layers() const;  // "20 of 30 layers triangle: 10-29"
};

// A plan or layers that are asked for; exact, if that is; else the preset made for this very model (its name and its
// shape both fit) if it was measured here, else exact: a preset that was not is only named, in `note`.
// length_known: the host announces how long prompts are, so the tail policy is `prompt` unless the options say
// otherwise; else it is the plan's. ERRORS: unreadable, or it does not fit the model.
parsed<chosen_plan> plan_for_model(const plan_options & options, const model_identity & model, bool length_known);

// The model that a named plan was made for, as far as the plan tells: for uses without a model file.
// ERRORS: it cannot be read, or none is named.
parsed<model_identity> model_of_plan(const plan_options & options);

// Whether a GGUF's general.name names the model that a preset is for: every word of the preset's name, "instruct" left
// out (model files often leave it out), is a word of it.
bool preset_names_model(std::string_view preset, const std::string & general_name);

// "" unless that many tokens ("the prompt", "the context") are far beyond what the plan was measured on.
std::string length_note(const plan & p, int64_t n_tokens, const std::string & what);

}  // namespace tmx
