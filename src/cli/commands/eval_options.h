// cli/commands/eval_options.h -- the options of `trianglemix eval`, and what they come to.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/commands/commands.h"
#include "cli/options.h"
#include "eval/report/task_results.h"
#include "eval/run/settings.h"

namespace tmx {

struct eval_options {
    model_options model;
    plan_options plan;
    std::vector<std::string> suites = {"fidelity", "ruler"};
    std::vector<int64_t> lengths = {4096};
    std::vector<std::string> arms = {"plan", "noise", "all-triangle"};
    std::vector<std::string> more_arms;
    int64_t n = 10;
    int64_t n_together = 4;
    int64_t n_following = 64;
    int64_t n_document = 256;
    int64_t seed = 1;
    std::string diversity = "fresh";
    double minutes = 0;  // 0: no limit
    eval_margins margins;
    std::string folder = "eval";
    std::string append;  // a file of result rows
    source_options sources;
    std::string code = "difflib";
    bool report_only = false;
};

void add_eval_options(CLI::App & app, eval_options & options);

// ERRORS failure: an arm, a length or the model's file is wrong.
eval_settings settings_of(const eval_options & options, const model_facts & facts, const invocation & call);

}  // namespace tmx
