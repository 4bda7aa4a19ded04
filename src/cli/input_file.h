// cli/input_file.h -- files that a command reads. ERRORS of all functions: failure, with what to do.
//
// Only regular files are read: opening a pipe waits for its writer, and a device may never end.
#pragma once

#include <string>

namespace tmx {

// "" if `path` is a regular file, else what is there instead: "there is no file /x", "/x is a folder, not a file".
std::string file_problem(const std::string & path);

std::string read_file(const std::string & path);  // whole; "-" is stdin

// A text for a model to read.
struct text_document {
    std::string path;  // as the user named it
    std::string text;  // without a byte order mark; never empty
    std::string note;  // not empty: what to tell the user about it

    std::string describe() const;  // "/usr/share/common-licenses/GPL-3, 34.3 KB"
};

// ERRORS also what is no text: empty, UTF-16, a PDF, an archive, anything with zero bytes.
text_document read_document(const std::string & path);

// The same checks on bytes that are there already.
text_document checked_document(const std::string & path, std::string bytes);

}  // namespace tmx
