// cli/commands/serve_plan.h -- the plan that `serve` gives to a server, and how the server learns of it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/options.h"
#include "cli/temporary_file.h"

namespace tmx {

// What a server's environment gets besides ours, and what of ours it does not get.
struct environment {
    std::vector<std::pair<std::string, std::string>> set;
    std::vector<std::string> unset;
};

// The plan for the server, as a file, since options may have changed what a preset or file says; `env` names it. Says
// what was chosen. Null: the plan of the TRIANGLEMIX_* environment, which the server inherits, or exact, where it
// inherits none.
// ERRORS failure: no such plan, or it does not fit the server's model; the plan of the environment is wrong.
std::unique_ptr<temporary_file> plan_file(const plan_options & asked, const std::vector<std::string> & server,
                                          environment & env);

}  // namespace tmx
