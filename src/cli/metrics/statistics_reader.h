// cli/metrics/statistics_reader.h -- the backend's statistics, from processes that run.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tmx {

// What the process behind a socket says (TRIANGLEMIX_STATS_SOCKET); none if it does not answer within two seconds.
std::optional<nlohmann::json> read_statistics(const std::string & socket_path);

struct process_counts {
    std::string pid;
    nlohmann::json statistics;
};

// Of each process that has a socket "PID.sock" in the folder and answers, in the order of their names.
std::vector<process_counts> read_all_statistics(const std::string & folder);

}  // namespace tmx
