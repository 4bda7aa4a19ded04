// cli/commands/commands.h -- the subcommands. Each add_*() declares its options; the function it returns runs it and
// gives the program's exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "runtime/failure.h"

namespace tmx {

struct invocation {
    std::string command_line;               // as typed, for records
    std::vector<std::string> after_dashes;  // what stood behind "--" (`serve` starts it)
    const std::atomic<bool> & stop;         // becomes true on Ctrl-C

    // For commands that compute without a session or probe, which look for themselves. ERRORS interrupted.
    void check_stop() const {
        if (stop.load(std::memory_order_relaxed)) {
            throw interrupted();
        }
    }
};

using command = std::function<int(const invocation &)>;

command add_run(CLI::App & app);
command add_bench(CLI::App & app);
command add_profile(CLI::App & app);
command add_eval(CLI::App & app);
command add_capture(CLI::App & app);
command add_recall(CLI::App & app);
command add_heads(CLI::App & app);
command add_serve(CLI::App & app);
command add_info(CLI::App & app);

}  // namespace tmx
