#include "row_facts.h"

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "build_facts.h"
#include "commit/published.h"
#include "commit/source_commit.h"

namespace tmx::bench {
namespace {

std::string device_name() {
    std::ifstream info("/proc/cpuinfo");
    std::string line;
    while (std::getline(info, line)) {
        if (line.rfind("model name", 0) == 0) {
            return line.substr(line.find(':') + 2);
        }
    }
    return "unknown CPU";
}

}  // namespace

void add_row_facts(nlohmann::ordered_json & row, const std::string & command) {
    row["command"] = command;
    row["commit"] = source_commit();
    row["compiler"] = k_compiler;
    row["flags"] = k_flags;
    row["device"] = device_name();
    row["cores"] = std::thread::hardware_concurrency();
    row["unix_time"] = static_cast<long long>(std::time(nullptr));
}

std::string why_not_kept(const std::string & file) {
    if (file.empty()) {
        return "";
    }
    std::string why = why_not_published(file, source_commit());
    if (why.empty() && !std::ofstream(file, std::ios::app)) {
        why = "cannot write " + file;
    }
    return why;
}

}  // namespace tmx::bench
