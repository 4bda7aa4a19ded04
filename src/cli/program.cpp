#include "cli/program.h"

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
#include <vector>

#include "cli/build_info.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr int k_exit_usage = 2;
constexpr int k_exit_interrupted = 130;

std::atomic<bool> g_stop{false};

void on_interrupt(int) {
    if (g_stop.exchange(true)) {
        _exit(k_exit_interrupted);  // the second time: do not wait for the running evaluation
    }
}

// --help for the screen's width; the texts are written for 120 columns.
class fitting_help : public CLI::Formatter {
  public:
    std::string make_help(const CLI::App * app, std::string name, CLI::AppFormatMode mode) const override {
        const int width = std::min(line_width(STDOUT_FILENO), 120);
        return fit_help(CLI::Formatter::make_help(app, std::move(name), mode), width);
    }
};

// "run, bench and serve"
std::string list_of(const std::vector<subcommand> & commands) {
    std::string list;
    for (size_t i = 0; i < commands.size(); ++i) {
        list += (i == 0 ? "" : i + 1 == commands.size() ? " and " : ", ") + std::string(commands[i].name);
    }
    return list;
}

}  // namespace

int run_program(int argc, char ** argv, const char * overview, const std::vector<subcommand> & subcommands) {
    invocation call{{}, {}, g_stop};
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
    app.footer(overview);
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string(program_version()) + " (" + source_commit() + ")");
    std::vector<command> commands;
    commands.reserve(subcommands.size());
    for (const subcommand & each : subcommands) {
        commands.push_back(each.add(app));
    }
    if (!arguments.empty() && !arguments[0].starts_with("-") &&
        std::none_of(subcommands.begin(), subcommands.end(), [&](const auto & c) { return c.name == arguments[0]; })) {
        fmt::print(stderr, "no command '{}'; {} {}\nRun with --help for more information.\n", arguments[0],
                   subcommands.size() > 1 ? "there are" : "there is", list_of(subcommands));
        return k_exit_usage;
    }
    try {
        // The parser takes the arguments last first.
        app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::ParseError & error) {
        std::ostringstream message;
        const int code = app.exit(error, std::cout, message);
        if (!message.str().empty()) {
            tell(message.str().substr(0, message.str().find_last_not_of('\n') + 1), 0);
        }
        return code == 0 ? 0 : k_exit_usage;
    }

    struct sigaction action {};
    action.sa_handler = on_interrupt;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    try {
        for (size_t i = 0; i < commands.size(); ++i) {
            if (app.got_subcommand(std::string(subcommands[i].name))) {
                return commands[i](call);
            }
        }
    } catch (const interrupted &) {
        fmt::print(stderr, "\ninterrupted\n");
        return k_exit_interrupted;
    } catch (const usage_error & error) {
        tell(std::string("trianglemix: ") + error.what());
        tell("Run with --help for more information.");
        return k_exit_usage;
    } catch (const std::exception & error) {
        tell(std::string("trianglemix: ") + error.what());
        return 1;
    }
    return 1;
}

}  // namespace tmx
