// cli/program.h -- what programs with subcommands have in common: arguments, help, errors, exit codes.
#pragma once

#include <string_view>
#include <vector>

#include "cli/commands/commands.h"

namespace tmx {

struct subcommand {
    std::string_view name;
    command (*add)(CLI::App & app);
};

// A program's main(). `overview`: what stands at the end of --help.
int run_program(int argc, char ** argv, const char * overview, const std::vector<subcommand> & subcommands);

}  // namespace tmx
