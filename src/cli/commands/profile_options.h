// cli/commands/profile_options.h -- the options of `profile`, and what they come to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands/commands.h"
#include "cli/options.h"
#include "planner/settings.h"
#include "profile/settings.h"

namespace tmx {

struct profile_options {
    model_options model;
    profile_settings settings;
    std::vector<std::string> kinds;
    std::vector<int64_t> lengths;        // empty: default_lengths()
    std::vector<int64_t> check_lengths;  // empty: as lengths
    std::optional<int64_t> samples, check_samples, questions;
    std::string data;
    std::vector<std::string> texts;
    std::vector<std::string> check_texts;
    std::string method;
    std::string ablate_in;
    std::string score;
    std::string layers;
    std::optional<std::string> menu;  // the planner
    std::string aim = "time";
    bool plan_only = false;
    std::string start;  // a plan's name; "": none
    double start_share = planner_settings().start_share;
    std::optional<int64_t> select;
    std::optional<double> threshold;
    std::optional<double> kl_budget;
    std::string out = "plan.json";
    std::string report;
    std::string scores;
    std::string findings;
};

// Declares them; `options` must outlive the parser.
void add_profile_options(CLI::App & app, profile_options & options);

// The files that are written must be there to write, and no two of them the same, nor one that is read.
// ERRORS usage_error, failure.
void check_outputs(const profile_options & options);

// What was left open is decided, and shown in notes. ERRORS usage_error, failure.
profile_settings settings_of(const profile_options & options, const invocation & call);
std::vector<menu_entry> menu_of(const profile_options & options);  // empty: none was given
planner_aim aim_of(const profile_options & options);
std::optional<start_plan> start_of(const profile_options & options, const model_shape & model);

void show_note(const std::string & note);  // "": nothing is shown
void show_notes(const std::vector<std::string> & notes);

}  // namespace tmx
