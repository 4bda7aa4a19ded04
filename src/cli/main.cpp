// trianglemix: llama.cpp answers long prompts sooner. Subcommands run, bench, profile, eval, serve, info.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/build_info.h"
#include "cli/commands/commands.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "runtime/failure.h"

namespace {

constexpr int k_exit_usage = 2;
constexpr int k_exit_interrupted = 130;

std::atomic<bool> g_stop{false};

void on_interrupt(int) {
    if (g_stop.exchange(true)) {
        _exit(k_exit_interrupted);  // the second time: do not wait for the running evaluation
    }
}

constexpr const char * k_overview = R"(
trianglemix info                          what is here, and what it will do
trianglemix run --compare                 the embedded demonstration, next to stock llama.cpp
trianglemix run -m MODEL.gguf -f TEXT -q QUESTION
trianglemix bench --lengths 2048,7500     time to first token over lengths and modes
trianglemix profile -m MODEL.gguf         which layers can take Triangle attention: a plan
trianglemix eval -m MODEL.gguf            what that plan does to answers
trianglemix serve -- llama-server -m MODEL.gguf

`trianglemix COMMAND --help` has the options and examples of a command.
Exit codes: 0 done, 1 it failed (stderr says why), 2 wrong usage, 130 interrupted.
)";

// --help for the screen's width; the texts are written for 120 columns.
class fitting_help : public CLI::Formatter {
  public:
    std::string make_help(const CLI::App * app, std::string name, CLI::AppFormatMode mode) const override {
        const int width = std::min(tmx::line_width(STDOUT_FILENO), 120);
        return tmx::fit_help(CLI::Formatter::make_help(app, std::move(name), mode), width);
    }
};

}  // namespace

int main(int argc, char ** argv) {
    tmx::invocation call{{}, {}, g_stop};
    std::vector<std::string> arguments;
    bool behind_dashes = false;
    for (int i = 0; i < argc; ++i) {
        const std::string argument = argv[i];
        call.command_line += (i > 0 ? " " : "") + argument;
        if (i == 0) {
            continue;
        }
        if (behind_dashes) {
            call.after_dashes.push_back(argument);
        } else if (argument == "--") {
            behind_dashes = true;
        } else {
            // llama.cpp's spelling; the option parser knows one-letter short names only.
            arguments.push_back(argument == "-ub" ? "--ubatch" : argument);
        }
    }

    CLI::App app("TriangleMix: llama.cpp answers long prompts sooner.", "trianglemix");
    app.formatter(std::make_shared<fitting_help>());  // subcommands take it over
    app.footer(k_overview);
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string(tmx::program_version()) + " (" + tmx::source_commit() + ")");
    const std::vector<std::pair<std::string, tmx::command>> commands = {
        {"run", tmx::add_run(app)},   {"bench", tmx::add_bench(app)}, {"profile", tmx::add_profile(app)},
        {"eval", tmx::add_eval(app)}, {"serve", tmx::add_serve(app)}, {"info", tmx::add_info(app)}};
    if (!arguments.empty() && !arguments[0].starts_with("-") &&
        std::none_of(commands.begin(), commands.end(), [&](const auto & c) { return c.first == arguments[0]; })) {
        fmt::print(stderr,
                   "no command '{}'; there are run, bench, profile, eval, serve and info\nRun with --help for more "
                   "information.\n",
                   arguments[0]);
        return k_exit_usage;
    }
    try {
        // The parser takes the arguments last first.
        app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::ParseError & error) {
        std::ostringstream message;
        const int code = app.exit(error, std::cout, message);
        if (!message.str().empty()) {
            tmx::tell(message.str().substr(0, message.str().find_last_not_of('\n') + 1), 0);
        }
        return code == 0 ? 0 : k_exit_usage;
    }

    struct sigaction action {};
    action.sa_handler = on_interrupt;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    try {
        for (const auto & [name, run] : commands) {
            if (app.got_subcommand(name)) {
                return run(call);
            }
        }
    } catch (const tmx::interrupted &) {
        fmt::print(stderr, "\ninterrupted\n");
        return k_exit_interrupted;
    } catch (const tmx::usage_error & error) {
        tmx::tell(std::string("trianglemix: ") + error.what());
        tmx::tell("Run with --help for more information.");
        return k_exit_usage;
    } catch (const std::exception & error) {
        tmx::tell(std::string("trianglemix: ") + error.what());
        return 1;
    }
    return 1;
}
