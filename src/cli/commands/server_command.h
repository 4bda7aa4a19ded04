// cli/commands/server_command.h -- what the command of a llama.cpp server asks for, as far as `serve` has to know.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace tmx {

// Whether one of the options stands there, as "--name" or "--name=...".
bool has_option(const std::vector<std::string> & server, std::initializer_list<const char *> names);

// What stands behind the first of the options; "" if none is there.
std::string option_value(const std::vector<std::string> & server, std::initializer_list<const char *> names);

// Tokens that the server's command asks for; 0: not told, or as long as the model's, which few prompts fill.
int64_t context_of(const std::vector<std::string> & server);

// The server's model, to be looked at before it starts; "" if its command names none that is there.
// ERRORS failure: it names a file that cannot be read.
std::string model_of(const std::vector<std::string> & server);

}  // namespace tmx
