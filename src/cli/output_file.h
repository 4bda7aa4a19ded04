// cli/output_file.h -- files that a command writes. ERRORS of all functions: failure.
#pragma once

#include <string>

namespace tmx {

// The whole text or nothing: whoever reads the path meets the old file or the new one, never a half. What is there and
// no regular file (a terminal, a pipe) is written as it is.
void write_file(const std::string & path, const std::string & text);

// Lines, behind whatever the file holds; one that a crash cut short is ended first.
void append_to_file(const std::string & path, const std::string & text);

// Before hours of measuring, not behind them: it can be written, and is no place for a build of uncommitted sources
// (commit/published.h). Leaves everything as it was.
void check_writable(const std::string & path);

}  // namespace tmx
