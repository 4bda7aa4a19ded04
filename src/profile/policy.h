// profile/policy.h -- what the user of a command left open is decided here, and what contradicts itself is refused.
//
// Values in, values out: nothing is printed, no option is parsed, and nothing of the process is changed. A command says
// what was asked for, takes the answers, and shows the notes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "profile/settings.h"
#include "runtime/failure.h"
#include "runtime/model.h"

namespace tmx {

// What was asked for cannot be had together, whatever the files hold. The text names the options.
class contradiction : public failure {
  public:
    using failure::failure;
};

// `asked` with what it leaves open: every kind of made prompts where the user brings none, and how many there are.
prompt_settings settle_prompts(prompt_settings asked, std::optional<int64_t> samples,
                               std::optional<int64_t> check_samples, bool quick);

// Lengths of made prompts: those that were given, else default_lengths().
// ERRORS failure: one that was given, also for the check, does not fit the context.
std::vector<int64_t> settle_lengths(const profile_settings & settings, int64_t n_ctx_train);

// What the probe makes of a model's file.
struct probe_verdict {
    bool computes = false;
    std::string reason;   // a good file of a model that the probe does not compute: why
    std::string refusal;  // "" where it computes; else all that a user should know
};
probe_verdict ask_probe(const std::string & model_path);

// How layers are to be judged; what is empty was not said.
struct asked_method {
    std::string method;      // "gradient", "ablation", "both"
    std::string ablate_in;   // a name of an ablation_place
    std::string score;       // a name of score_kinds(), or "ablation"
    bool set_given = false;  // nothing is chosen, so nothing has to be judged
};

struct settled_method {
    bool gradient = false;
    bool ablation = false;
    ablation_place ablate_in = ablation_place::llama_cpp;
    std::string score;               // what orders layers
    std::vector<std::string> notes;  // for people: what was chosen for them, and why
};

// Where no method was said: gradients; but ablation, where the probe does not compute this kind of model and nothing
// that needs gradients was asked for. Where no place was said: in the probe, if that computes the file.
// ERRORS contradiction. failure: the probe is needed, and does not compute the file.
settled_method settle_method(const asked_method & asked, const probe_verdict & probe);

bool uses_probe(const profile_settings & settings);

// How many are chosen. At most one of the values is there.
struct asked_size {
    bool set_given = false;  // nothing is chosen: the user's own set is checked
    std::optional<int64_t> count;
    std::optional<double> threshold;
    std::optional<double> kl_budget;
};

struct settled_size {
    choose_by how = choose_by::kl_budget;
    double value = 0;  // of a given set: not known yet, settle_set() counts it
};

// A KL budget of 0.01 nats, where nothing was said.
// ERRORS contradiction: a budget, and no prompts that check it.
settled_size settle_size(const asked_size & asked, int64_t check_samples);

// Makes the settings fit the model: layers with windows are no candidates, so they leave a given set, whose size is
// counted here. layers: that set, as parse_layer_set() reads it; unused where layers are chosen. Returns a note for
// people, "" if there is nothing to say. ERRORS failure: no such layers, or none is left.
std::string settle_set(profile_settings & settings, const std::string & layers, const model_facts & facts);

// ERRORS failure: more are to be chosen than the model has candidates.
void check_count(const profile_settings & settings, const model_facts & facts);

struct environment_variable {
    std::string name;
    std::string value;
};

// What the environment of a process must say that measures on `device` ("": the CPU), where its user said nothing else:
// our backend reads it when it is loaded, and CUDA at its first call.
std::vector<environment_variable> measuring_environment(const std::string & device, bool probing);

}  // namespace tmx
