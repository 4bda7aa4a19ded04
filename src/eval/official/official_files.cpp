#include "eval/official/official_files.h"

#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "measure/hash.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

std::ifstream opened(const std::string & path) {
    // Opening a pipe would wait for its writer.
    std::ifstream in;
    if (std::filesystem::is_regular_file(path)) {
        in.open(path);
    }
    if (!in.is_open()) {
        throw failure("cannot read " + path);
    }
    return in;
}

// What went wrong with a row, behind where it stands.
template <class F>
void at_row(const std::string & path, const char * unit, int64_t number, const F & use) {
    try {
        use();
    } catch (const failure & error) {
        throw failure(fmt::format("{}, {} {}: {}", path, unit, number, error.what()));
    } catch (const nlohmann::json::exception & error) {
        throw failure(fmt::format("{}, {} {}: {}", path, unit, number, error.what()));
    }
}

const nlohmann::json & field(const nlohmann::json & row, const char * key) {
    if (!row.is_object() || !row.contains(key)) {
        throw failure(fmt::format("has no \"{}\"", key));
    }
    return row[key];
}

}  // namespace

std::string official_file(const eval_sources & sources, const std::string & name, const std::string & origin) {
    if (sources.data.empty()) {
        throw failure(fmt::format("needs {} ({}); name the folder that has it", name, origin));
    }
    std::string path = (std::filesystem::path(sources.data) / name).string();
    if (!std::filesystem::exists(path)) {
        throw failure(fmt::format("there is no {}: put {} there", path, origin));
    }
    return path;
}

std::string read_json_lines(const std::string & path, const row_taker & take) {
    std::ifstream in = opened(path);
    std::string line;
    bool any = false;
    for (int64_t number = 1; std::getline(in, line); ++number) {
        if (line.find_first_not_of(" \t\r") == std::string::npos) {
            continue;
        }
        any = true;
        at_row(path, "line", number, [&] { take(number, nlohmann::json::parse(line)); });
    }
    if (!any) {
        throw failure(path + " has no rows");
    }
    return sha256_of_file(path);
}

std::string read_json_array(const std::string & path, const row_taker & take) {
    std::ifstream in = opened(path);
    int64_t n_rows = 0;
    const auto one = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json & parsed) {
        if (depth != 1 || event != nlohmann::json::parse_event_t::object_end) {
            return true;
        }
        ++n_rows;
        at_row(path, "row", n_rows, [&] { take(n_rows, parsed); });
        return false;
    };
    try {
        if (!nlohmann::json::parse(in, one).is_array()) {
            throw failure(path + " is no array of rows");
        }
    } catch (const nlohmann::json::exception & error) {
        throw failure(path + ": " + error.what());
    }
    if (n_rows == 0) {
        throw failure(path + " has no rows");
    }
    return sha256_of_file(path);
}

std::string read_whole_text(const std::string & path) {
    std::ifstream in = opened(path);
    std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
        throw failure(path + " is empty");
    }
    return text;
}

nlohmann::json read_json_object(const std::string & path) {
    std::ifstream in = opened(path);
    try {
        nlohmann::json object = nlohmann::json::parse(in);
        if (!object.is_object()) {
            throw failure(path + " is no JSON object");
        }
        return object;
    } catch (const nlohmann::json::exception & error) {
        throw failure(path + ": " + error.what());
    }
}

std::string text_field(const nlohmann::json & row, const char * key) {
    const nlohmann::json & value = field(row, key);
    if (!value.is_string()) {
        throw failure(fmt::format("\"{}\" is no text", key));
    }
    return value.get<std::string>();
}

int64_t whole_field(const nlohmann::json & row, const char * key) {
    const nlohmann::json & value = field(row, key);
    if (!value.is_number_integer()) {
        throw failure(fmt::format("\"{}\" is no whole number", key));
    }
    return value.get<int64_t>();
}

std::vector<std::string> texts_field(const nlohmann::json & row, const char * key) {
    const nlohmann::json & value = field(row, key);
    std::vector<std::string> texts;
    for (const nlohmann::json & one : value) {
        if (!value.is_array() || !one.is_string()) {
            throw failure(fmt::format("\"{}\" is no list of texts", key));
        }
        texts.push_back(one.get<std::string>());
    }
    return texts;
}

}  // namespace tmx
