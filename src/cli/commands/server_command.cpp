#include "cli/commands/server_command.h"

#include <algorithm>
#include <charconv>

#include "cli/input_file.h"
#include "runtime/failure.h"

namespace tmx {

bool has_option(const std::vector<std::string> & server, std::initializer_list<const char *> names) {
    return std::any_of(server.begin(), server.end(), [&](const std::string & argument) {
        return std::any_of(names.begin(), names.end(), [&](const char * name) {
            return argument == name || argument.starts_with(std::string(name) + "=");
        });
    });
}

std::string option_value(const std::vector<std::string> & server, std::initializer_list<const char *> names) {
    for (size_t i = 0; i + 1 < server.size(); ++i) {
        if (std::any_of(names.begin(), names.end(), [&](const char * name) { return server[i] == name; })) {
            return server[i + 1];
        }
    }
    return "";
}

int64_t context_of(const std::vector<std::string> & server) {
    const std::string text = option_value(server, {"-c", "--ctx-size"});
    int64_t n_tokens = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n_tokens);
    return error == std::errc() && end == text.data() + text.size() ? n_tokens : 0;
}

std::string model_of(const std::vector<std::string> & server) {
    std::string file = option_value(server, {"-m", "--model"});
    // With one of these, -m says where a model is to be put.
    const bool fetched = has_option(server, {"-mu", "--model-url", "-hf", "-hfr", "--hf-repo", "-dr", "--docker-repo"});
    const std::string problem = file.empty() ? "" : file_problem(file);
    if (problem.empty()) {
        return file;
    }
    if (fetched) {
        return "";
    }
    throw failure("the server's -m: " + problem);
}

}  // namespace tmx
