// cli/commands/serve_rpc.h -- what is different where the server is llama.cpp's rpc-server. It knows neither a model
// nor flash attention, offers every GPU it finds unless its devices are named, and only ever ends by a signal, so its
// backend writes nothing then.
#pragma once

#include <string>
#include <vector>

#include "cli/commands/serve_plan.h"

namespace tmx {

bool is_rpc_server(const std::string & program);

// Names the devices that are offered where the command does not (-d): ours in front of every GPU that has one, else the
// one in front of the CPU. Says what is offered, and warns of a device that is offered twice or as stock has it.
// ERRORS failure: the server does not list its devices, or has none of ours.
void choose_devices(std::vector<std::string> & server, const std::string & program, const environment & env);

// Writes what the process behind a socket of that folder has counted so far, as its library writes it when a process
// ends; `path` as TRIANGLEMIX_STATS. Says so if it cannot.
void write_last_statistics(const std::string & socket_folder, const std::string & path);

}  // namespace tmx
