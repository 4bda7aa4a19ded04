#include "cli/commands/serve_rpc.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "cli/child_process.h"
#include "cli/commands/server_command.h"
#include "cli/metrics/statistics_reader.h"
#include "cli/terminal.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

struct listed_device {
    std::string name;
    std::string wraps;  // of ours: the device that it stands in front of; "": none of ours

    bool is_cpu() const { return name == "CPU" || wraps == "CPU"; }
    bool is_accelerator() const { return name == "TriangleMix" || name == "BLAS" || name == "AMX"; }
};

// Asked for a device that there is not, the server lists those that there are.
std::vector<listed_device> list_devices(const std::string & program, const environment & env) {
    std::vector<std::string> command = {"env"};
    for (const std::string & name : env.unset) {
        command.insert(command.end(), {"-u", name});
    }
    for (const auto & [name, value] : env.set) {
        command.push_back(fmt::format("{}={}", name, value));
    }
    // This process is not the one that serves.
    for (const char * name : {"STATS", "STATS_SOCKET", "STATUS"}) {
        command.push_back(fmt::format("TRIANGLEMIX_{}=", name));
    }
    command.insert(command.end(), {program, "--device", "?"});
    const child_result listed = run_child(command);
    static const std::regex line_form(R"(  ([^:]+): (.*) \(\d+ MiB, \d+ MiB free\))");
    static const std::regex ours(R"(.*prompt attention by TriangleMix \((.*)\))");
    std::vector<listed_device> devices;
    std::istringstream lines(listed.output);
    for (std::string line; std::getline(lines, line);) {
        std::smatch found;
        if (std::regex_match(line, found, line_form)) {
            const std::string description = found[2];
            std::smatch proxy;
            devices.push_back({found[1], std::regex_match(description, proxy, ours) ? proxy[1] : std::string()});
        }
    }
    if (devices.empty()) {
        throw failure(program + " lists no devices; it says:\n" + listed.output);
    }
    return devices;
}

const listed_device * proxy_of(const std::vector<listed_device> & devices, const std::string & name) {
    const auto found = std::find_if(devices.begin(), devices.end(),
                                    [&](const listed_device & each) { return !name.empty() && each.wraps == name; });
    return found != devices.end() ? &*found : nullptr;
}

// What a server without names would offer, with ours in place of what they stand in front of.
std::vector<std::string> best_devices(const std::vector<listed_device> & devices) {
    std::vector<std::string> names;
    for (const listed_device & each : devices) {
        if (each.wraps.empty() && !each.is_cpu() && !each.is_accelerator()) {
            const listed_device * proxy = proxy_of(devices, each.name);
            names.push_back(proxy != nullptr ? proxy->name : each.name);
        }
    }
    const listed_device * cpu = proxy_of(devices, "CPU");
    if (names.empty() && cpu != nullptr) {
        names.push_back(cpu->name);
    }
    return names;
}

std::vector<std::string> names_in(const std::string & list) {
    static const std::regex separator("[,/]+");
    return {std::sregex_token_iterator(list.begin(), list.end(), separator, -1), std::sregex_token_iterator()};
}

void advise_on_devices(const std::vector<listed_device> & devices, const std::vector<std::string> & names) {
    const auto offered = [&](const std::string & name) { return std::count(names.begin(), names.end(), name); };
    for (const listed_device & each : devices) {
        const listed_device * proxy = proxy_of(devices, each.name);
        const auto n_times = offered(each.name) + (proxy != nullptr ? offered(proxy->name) : 0);
        if (each.wraps.empty() && n_times > 1) {
            tell(fmt::format("trianglemix: warning: {} is offered {} times ({}): clients count its memory as often",
                             each.name, n_times, fmt::join(names, ", ")));
        } else if (proxy != nullptr && offered(each.name) > 0) {
            tell(
                fmt::format("trianglemix: warning: {} is offered as llama.cpp has it, its prompts are not accelerated; "
                            "{} is the same device with our kernels",
                            each.name, proxy->name));
        }
    }
}

}  // namespace

bool is_rpc_server(const std::string & program) {
    return std::filesystem::path(program).filename().string().ends_with("rpc-server");
}

void choose_devices(std::vector<std::string> & server, const std::string & program, const environment & env) {
    const std::vector<listed_device> devices = list_devices(program, env);
    std::vector<std::string> names = names_in(option_value(server, {"-d", "--device"}));
    if (!has_option(server, {"-d", "--device"})) {
        names = best_devices(devices);
        if (names.empty()) {
            throw failure(program + " has no device of ours: no kernel of this build runs on this machine");
        }
        server.insert(server.end(), {"-d", fmt::format("{}", fmt::join(names, ","))});
        tell(fmt::format("trianglemix: added -d {}", server.back()));
    }
    advise_on_devices(devices, names);
    tell(
        "trianglemix: plan, strict mode and statistics are this host's; clients need flash attention (-fa on), the "
        "same "
        "llama.cpp, and nothing of ours");
}

void write_last_statistics(const std::string & socket_folder, const std::string & path) {
    const std::vector<process_counts> all = read_all_statistics(socket_folder);
    if (all.empty()) {
        tell("trianglemix: warning: --stats: the server did not answer, so nothing is written");
        return;
    }
    std::string file = path;
    if (const size_t mark = file.find("%p"); mark != std::string::npos) {
        file.replace(mark, 2, all.front().pid);
    }
    if (!(std::ofstream(file) << all.front().statistics.dump(2) << "\n").flush()) {
        tell("trianglemix: warning: --stats: cannot write " + file);
    }
}

}  // namespace tmx
