// profile/report.h -- the profile as one self-contained HTML page.
#pragma once

#include <string>

#include "profile/profiler.h"

namespace tmx {

// What the program knows besides the measurements; shown as it is.
struct report_facts {
    std::string command;
    std::string machine;
    std::string version;
    std::string commit;
    std::string date;
    double seconds = 0;             // from the first measurement to the plan
    int64_t peak_memory_bytes = 0;  // of the process: the largest resident set
};

// Everything drawn by ourselves into the page; no file, script, font or address from elsewhere.
std::string report_html(const profile_settings & settings, const profile_result & r, const report_facts & facts);

}  // namespace tmx
