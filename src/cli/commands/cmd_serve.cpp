// `trianglemix serve`: start an unmodified llama.cpp server with our backend, and make sure that it loaded.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/child_process.h"
#include "cli/commands/commands.h"
#include "cli/commands/serve_plan.h"
#include "cli/commands/serve_rpc.h"
#include "cli/commands/server_command.h"
#include "cli/host_build.h"
#include "cli/input_file.h"
#include "cli/metrics/served_metrics.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "runtime/failure.h"
#include "runtime/program.h"

namespace tmx {
namespace {

constexpr const char * k_serve_examples = R"(
trianglemix serve [OPTIONS] -- LLAMA-SERVER [ARGUMENTS]

What stands behind -- is the command of a llama.cpp server, as you would type it. The backend is loaded the way that
build needs, flash attention is turned on (the backend sees attention only then), and the server is stopped again if the
backend did not load. Everything the server prints passes through, signals too; its exit code is ours.
Without --plan and --layers the model's own preset is used if there is a measured one, else the backend is exact.
An rpc-server offers our devices unless -d names others; the plan is its own, so it takes one of --plan.
A server that starts others (--models-dir) shares --stats FILE with them: the second to end writes FILE.PID, and so on.

Examples:
  trianglemix serve -- llama-server -m model.gguf -c 32768 -ub 2048 -b 2048
  trianglemix serve --plan preset:llama-3.1-8b-instruct -- /opt/llama.cpp/bin/llama-server -m llama.gguf
  trianglemix serve --metrics 9464 -- llama-server -m model.gguf -c 32768
  trianglemix serve --plan plan.json -- rpc-server -H 10.0.0.2 -p 50052
  trianglemix serve --layers 16-31 --strict --stats stats.json -- llama-server -m model.gguf
A prompt arrives in pieces of -ub tokens; with 2048 or more the plan's dense last rows cost little.
)";

constexpr double k_seconds_to_register = 60;  // backends register before the model is read; a slow disk may delay that

struct serve_options {
    plan_options plan;
    bool strict = false;
    std::string stats;
    std::string metrics;  // an address; "": none
};

pid_t g_child = 0;
volatile sig_atomic_t g_asked_to_end = 0;  // the signal; for a server that is asked something before it gets it

void pass_on(int signal_number) {
    const int saved = errno;
    if (g_child > 0) {
        kill(g_child, signal_number);
    }
    errno = saved;
}

void note_signal(int signal_number) {
    g_asked_to_end = signal_number;
}

void on_signals(std::initializer_list<int> signals, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    for (const int number : signals) {
        sigaction(number, &action, nullptr);
    }
}

// Before the server runs for days: whether its statistics can be written when it ends. Those of an earlier server make
// way, since the backend itself replaces no file.
void check_statistics_file(const std::string & path) {
    if (path == "1" || path.find("%p") != std::string::npos) {
        return;
    }
    std::error_code error;
    const bool special = std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error);
    if (!special || std::filesystem::is_directory(path, error)) {
        check_writable(path);
    }
    if (special || !std::filesystem::exists(path, error) || std::filesystem::file_size(path, error) == 0) {
        return;
    }
    constexpr size_t k_longest = 16 << 20;
    const auto old = std::filesystem::file_size(path, error) > k_longest
                         ? nlohmann::json()
                         : nlohmann::json::parse(read_file(path), nullptr, false);
    if (!old.is_object() || !old.contains("ggml_version") || !old.contains("nodes")) {
        throw failure("--stats: " + path + " is there and holds no statistics; it is not overwritten");
    }
    std::filesystem::remove(path, error);
}

void add_flash_attention(std::vector<std::string> & server) {
    const char * variable = std::getenv("LLAMA_ARG_FLASH_ATTN");
    if (!has_option(server, {"-fa", "--flash-attn"}) && variable == nullptr) {
        server.insert(server.end(), {"-fa", "on"});
        tell("trianglemix: added -fa on");
        return;
    }
    const std::string value = variable != nullptr ? variable : option_value(server, {"-fa", "--flash-attn"});
    if (value == "off" || value == "0" || value == "auto" || value == "-1" || value == "disabled" || value == "false") {
        tell(fmt::format(
            "trianglemix: warning: flash attention is '{}' by your own setting; where it is off the backend sees no "
            "attention and speeds up nothing",
            value));
    }
}

// The plan is cheap only in large chunks, but a larger ubatch takes memory, so the choice is the user's.
void advise_on_ubatch(const std::vector<std::string> & server) {
    if (!has_option(server, {"-ub", "--ubatch-size"}) && std::getenv("LLAMA_ARG_UBATCH") == nullptr) {
        tell(
            "trianglemix: hint: prompts come in pieces of -ub 512 tokens, whose last rows stay dense; "
            "-b 2048 -ub 2048 lets the plan skip more");
    }
}

// `log`: what its stderr is to be; -1: ours.
pid_t start_server(const std::vector<std::string> & server, const std::string & program, const environment & env,
                   int log) {
    std::vector<char *> argv = argument_vector(server);
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child != 0) {
        return child;
    }
    // Its own process group: Ctrl-C on the terminal then reaches it once, through us, and not twice.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(127);
    }
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
        std::signal(number, SIG_DFL);
    }
    if (log >= 0) {
        dup2(log, STDERR_FILENO);
    }
    for (const std::string & name : env.unset) {
        unsetenv(name.c_str());
    }
    for (const auto & [name, value] : env.set) {
        setenv(name.c_str(), value.c_str(), 1);
    }
    execv(program.c_str(), argv.data());
    fmt::print(stderr, "trianglemix: cannot start {}: {}\n", program, std::strerror(errno));
    _exit(127);
}

// The first line of the status file, once the library has written it.
std::optional<nlohmann::json> read_status(const std::string & path) {
    std::ifstream in(path);
    std::string line;
    if (!std::getline(in, line) || in.eof()) {
        return std::nullopt;
    }
    return nlohmann::json::parse(line, nullptr, false);
}

int wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    g_child = 0;
    return exit_code_of(status);
}

// A server that ends by signals only, so its last statistics are read before it gets one.
int wait_for_rpc(pid_t child, const std::string & socket_folder, const std::string & stats) {
    on_signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT}, note_signal);
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (const int number = g_asked_to_end; number != 0) {
            g_asked_to_end = 0;
            write_last_statistics(socket_folder, stats);
            kill(child, number);
        }
        usleep(50'000);
    }
    g_child = 0;
    return exit_code_of(status);
}

// Waits for the backend's word that it registered. False: it did not; `why` says what happened. `ended`: exit code of a
// server that ended by itself before the backend said anything.
bool registered(pid_t child, const std::string & status_path, std::string & why, std::optional<int> & ended) {
    const double give_up = seconds_now() + k_seconds_to_register;
    while (seconds_now() < give_up) {
        if (const std::optional<nlohmann::json> status = read_status(status_path)) {
            if (status->is_object() && status->value("registered", false)) {
                tell("trianglemix: backend loaded, kernel " + status->value("kernel", std::string("unknown")));
                return true;
            }
            why = "the backend refused to register: " +
                  (status->is_object() ? status->value("reason", std::string("no reason given")) : "unreadable status");
            return false;
        }
        int wait_status = 0;
        if (waitpid(child, &wait_status, WNOHANG) == child) {
            g_child = 0;
            ended = exit_code_of(wait_status);
            return false;
        }
        usleep(50'000);
    }
    why = fmt::format("the server has not loaded the backend within {:.0f} seconds", k_seconds_to_register);
    return false;
}

// What the page will lack because of how the server is told to log.
void advise_on_log(const std::vector<std::string> & server) {
    if (has_option(server, {"--log-disable", "--log-jsonl", "-lv", "--verbosity", "--log-verbosity"})) {
        tell(
            "trianglemix: warning: times to first token and prompt tokens are read from the server's log; they stay 0 "
            "where it does not write its usual lines to stderr");
    }
}

int serve(const serve_options & options, const invocation & call) {
    std::vector<std::string> server = call.after_dashes;
    if (server.empty()) {
        throw usage_error(
            "serve needs the server's command behind --, e.g.: trianglemix serve -- llama-server -m model.gguf");
    }
    const host_build host = inspect_host(server[0]);
    if (const std::string refusal = host.refusal(); !refusal.empty()) {
        throw failure(host.program + ": " + refusal);
    }
    for (const std::string & library : {backend_library(), preload_library()}) {
        if (!std::filesystem::exists(library)) {
            throw failure("missing: " + library + ". Build it: cmake --build <build folder>.");
        }
    }
    environment env;
    std::unique_ptr<served_metrics> metrics;
    if (!options.metrics.empty()) {
        metrics = std::make_unique<served_metrics>(parse_listen_address(options.metrics));
        env.set.emplace_back("TRIANGLEMIX_STATS_SOCKET", metrics->socket_setting());
        advise_on_log(server);
    }
    const std::unique_ptr<temporary_file> plan = plan_file(options.plan, server, env);
    const bool rpc = is_rpc_server(host.program);
    if (!options.stats.empty()) {
        if (rpc && options.stats == "1") {
            throw usage_error("--stats 1: an rpc-server prints nothing when it ends; name a file");
        }
        check_statistics_file(options.stats);
    }
    std::optional<temporary_folder> sockets;
    if (rpc && !options.stats.empty() && !metrics) {
        sockets.emplace("trianglemix-stats");
        env.set.emplace_back("TRIANGLEMIX_STATS_SOCKET", sockets->path() + "/%p.sock");
    }
    const temporary_file status("trianglemix-status");
    env.set.emplace_back("TRIANGLEMIX_STATUS", status.path());
    if (options.strict) {
        env.set.emplace_back("TRIANGLEMIX_STRICT", "1");
    }
    if (!options.stats.empty() && !rpc) {
        env.set.emplace_back("TRIANGLEMIX_STATS",
                             options.stats == "1" ? options.stats : std::filesystem::absolute(options.stats).string());
    }
    if (host.kind == host_kind::dynamic) {
        env.set.emplace_back("GGML_BACKEND_PATH", backend_library());
    } else {
        const char * others = std::getenv("LD_PRELOAD");
        env.set.emplace_back(
            "LD_PRELOAD", others != nullptr && *others != '\0' ? preload_library() + ":" + others : preload_library());
        env.unset.push_back("GGML_BACKEND_PATH");
    }
    if (rpc) {
        env.set.emplace_back("TRIANGLEMIX_CPU_PROXY", "1");
        choose_devices(server, host.program, env);
    } else {
        add_flash_attention(server);
        if (plan) {
            advise_on_ubatch(server);
        }
    }
    tell(fmt::format("trianglemix: starting {}: {}", host.program, host.how()));

    on_signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}, pass_on);
    const pid_t child = start_server(server, host.program, env, metrics ? metrics->server_stderr() : -1);
    if (child < 0) {
        throw failure("cannot start another process");
    }
    g_child = child;
    if (metrics) {
        metrics->start();
        tell(fmt::format("trianglemix: metrics at http://{}/metrics{}", metrics->at().text(),
                         metrics->at().loopback() ? "" : ", for everybody who reaches this machine"));
    }
    std::string why;
    std::optional<int> ended;
    if (!registered(child, status.path(), why, ended)) {
        if (ended) {
            tell(fmt::format("trianglemix: the server ended (exit code {}) before the backend was loaded", *ended));
            return *ended;
        }
        kill(child, SIGTERM);
        wait_for(child);
        throw failure(why);
    }
    if (rpc && !options.stats.empty()) {
        return wait_for_rpc(child, metrics ? metrics->socket_folder() : sockets->path(), options.stats);
    }
    return wait_for(child);
}

}  // namespace

command add_serve(CLI::App & app) {
    auto options = std::make_shared<serve_options>();
    CLI::App * sub = app.add_subcommand("serve", "Start an unmodified llama.cpp server with the backend loaded");
    sub->footer(k_serve_examples);
    add_plan_options(*sub, options->plan);
    sub->add_flag("--strict", options->strict, "a triangle layer that cannot be computed as planned is an error");
    sub->add_option(
           "--stats", options->stats,
           "1: print statistics when the server ends; else: write them there as JSON, %p in it is the process id")
        ->option_text("1|FILE");
    sub->add_option(
           "--metrics", options->metrics,
           "offer times, pairs and fallbacks to Prometheus at http://ADDRESS/metrics; a PORT alone serves this "
           "machine only")
        ->option_text("ADDRESS");
    return [options](const invocation & call) { return serve(*options, call); };
}

}  // namespace tmx
