// profile/page/page_parts.h -- what the pages of reports are put together from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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

// What a page shows, and what lies beside it as files: the same drawing.
struct report_drawing {
    std::string name;     // of a file: "kl", "gradient"
    std::string heading;  // above it in the page
    std::string note;     // below that, markup
    std::string svg;
};

std::string page_begin(const std::string & title);
std::string page_end();

// heading: text. note, body: markup.
std::string section_of_page(const std::string & heading, const std::string & note, const std::string & body);

// One row of a table. texts: markup.
std::string cells(const std::vector<std::string> & texts, const char * tag = "td");

// The section that says with what the page was made.
std::string how_made(const report_facts & facts, const std::string & model_sha256);

}  // namespace tmx
