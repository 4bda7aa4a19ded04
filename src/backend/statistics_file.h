// Where TRIANGLEMIX_STATS=FILE goes. A router and the servers that it starts have one environment, so a process never
// replaces what another one wrote: a file that holds something stays, and the text goes beside it, with the process id
// in the name.
#pragma once

#include <string>

namespace tmx {

// `setting` with every "%p" replaced by this process's id.
std::string statistics_path(const std::string & setting);

// "" if statistics can be written to `path` when the process ends, else why not. Writes nothing.
std::string statistics_path_problem(const std::string & path);

// True: `path` is a file that holds something, so statistics would go beside it.
bool statistics_path_taken(const std::string & path);

// Writes the whole text to `path`, or beside it: "stats.json" becomes "stats.PID.json". What is no regular file (a
// terminal, a pipe) is written as it is. Returns "" or what was wrong.
std::string write_statistics_file(const std::string & path, const std::string & text);

}  // namespace tmx
