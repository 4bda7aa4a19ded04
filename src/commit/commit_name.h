// commit/commit_name.h -- commits as they are named here and in llama.cpp: abbreviated, and with a mark behind them if
// the sources differed.
#pragma once

#include <string_view>

namespace tmx {

constexpr std::string_view k_dirty_mark = "-dirty";

// Made from sources that no commit has, so that nobody can make it again. tools/commits.py says the same of rows.
constexpr bool is_dirty(std::string_view commit) {
    return commit.ends_with(k_dirty_mark);
}

constexpr std::string_view without_mark(std::string_view commit) {
    return commit.substr(0, commit.size() - (is_dirty(commit) ? k_dirty_mark.size() : 0));
}

}  // namespace tmx
