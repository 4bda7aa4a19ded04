// row_facts.h -- what every row of these programs says beside its figures.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace tmx::bench {

// Adds the keys command, commit, compiler, flags, device, cores, unix_time.
void add_row_facts(nlohmann::ordered_json & row, const std::string & command);

// Before anything is measured: why rows may not or cannot be added to the file; empty: they can.
std::string why_not_kept(const std::string & file);

}  // namespace tmx::bench
