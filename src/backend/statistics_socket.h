// Where TRIANGLEMIX_STATS_SOCKET=PATH leads: a Unix socket of this process at which other programs read the statistics
// while the host runs. Whoever connects is sent the text as it is then, and the connection ends. Nothing is read from
// it, and nothing happens between two connections.
#pragma once

#include <functional>
#include <string>

namespace tmx {

// Opens the socket at `path`, for the user of this process alone, and starts a thread that answers with what `text`
// gives, until the process ends. Returns "" or why it cannot be opened: `path` is there already, is too long, or its
// folder is missing.
// REQUIRES called once. `text` throws no exception but for want of memory, and may be called until the process ends.
std::string open_statistics_socket(const std::string & path, std::function<std::string()> text);

}  // namespace tmx
