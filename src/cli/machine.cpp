#include "cli/machine.h"

#include <sys/resource.h>

#include <ctime>
#include <fstream>
#include <sstream>

#include "runtime/backend.h"

namespace tmx {
namespace {

// Value of the first line "KEY : VALUE" of /proc/cpuinfo whose key is one of these.
std::string cpuinfo(std::initializer_list<const char *> keys) {
    std::ifstream in("/proc/cpuinfo");
    for (std::string line; std::getline(in, line);) {
        for (const char * key : keys) {
            if (line.starts_with(key)) {
                const size_t colon = line.find(':');
                const size_t value = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
                if (value != std::string::npos) {
                    return line.substr(value);
                }
            }
        }
    }
    return "";
}

}  // namespace

std::string cpu_name() {
    const std::string name = cpuinfo({"model name", "CPU part"});
    return name.empty() ? "unknown CPU" : name;
}

std::vector<std::string> cpu_flags() {
    std::istringstream words(cpuinfo({"flags", "Features"}));
    std::vector<std::string> flags;
    for (std::string flag; words >> flag;) {
        flags.push_back(flag);
    }
    return flags;
}

std::string describe_device(const std::string & name) {
    for (const backend::device & each : backend::devices()) {
        if (each.name == name) {
            return each.name + " (" + each.description + ")";
        }
    }
    return name;
}

std::string utc_time() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

int64_t peak_memory_bytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<int64_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

}  // namespace tmx
