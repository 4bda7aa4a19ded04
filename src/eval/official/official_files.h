// eval/official/official_files.h -- files of official suites: where they lie below the data folder, and their rows.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/sources.h"

namespace tmx {

// The path of a file below the data folder. origin: what it is and whose, "config/dataset2prompt.json of LongBench".
// ERRORS failure: no data folder was named, or it has no such file.
std::string official_file(const eval_sources & sources, const std::string & name, const std::string & origin);

using row_taker = std::function<void(int64_t number, const nlohmann::json & row)>;

// Calls `take` for each line of JSON, or for each object of one array of them, which is not kept in memory as a whole.
// Numbers count lines, or objects, from 1. Returned is the file's SHA-256, for task_facts::files.
// ERRORS failure: the file cannot be read or is no JSON, has no rows, or `take` throws one: named are file and number.
std::string read_json_lines(const std::string & path, const row_taker & take);
std::string read_json_array(const std::string & path, const row_taker & take);

// The file as a whole. ERRORS failure: it cannot be read, is empty, or is no JSON object.
std::string read_whole_text(const std::string & path);
nlohmann::json read_json_object(const std::string & path);

// ERRORS failure: the row has no such field, or it is something else.
std::string text_field(const nlohmann::json & row, const char * key);
int64_t whole_field(const nlohmann::json & row, const char * key);
std::vector<std::string> texts_field(const nlohmann::json & row, const char * key);

}  // namespace tmx
