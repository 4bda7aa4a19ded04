#include "cli/input_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string_view>

#include "cli/terminal.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

namespace fs = std::filesystem;

struct signature {
    std::string_view first_bytes;
    const char * kind;
    const char * advice;
};

constexpr signature k_no_texts[] = {
    {"%PDF-", "a PDF", "extract its text first: pdftotext FILE - | trianglemix run -f - ..."},
    {"PK\x03\x04", "a ZIP archive (an office document, perhaps)", "save it as plain text"},
    {"\x1f\x8b", "compressed", "unpack it first: zcat FILE | trianglemix run -f - ..."},
    {"GGUF", "a model", "a model is named with -m"},
    {"\x7f"
     "ELF",
     "a program", "name a text"},
};

// UTF-16 of mostly Latin letters has a zero in every other byte.
bool looks_like_utf16(std::string_view text) {
    if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
        return true;
    }
    size_t zeros[2] = {0, 0};
    for (size_t i = 0; i < text.size(); ++i) {
        zeros[i % 2] += text[i] == '\0';
    }
    return std::max(zeros[0], zeros[1]) > text.size() / 4 && std::min(zeros[0], zeros[1]) < text.size() / 100 + 1;
}

// Bytes that belong to no UTF-8 character.
size_t stray_bytes(std::string_view text) {
    size_t stray = 0;
    for (size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const size_t length = lead < 0x80                    ? 1
                              : lead >= 0xc2 && lead <= 0xdf ? 2
                              : (lead & 0xf0) == 0xe0        ? 3
                              : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                             : 0;
        const std::string_view rest = text.substr(i + 1, length > 0 ? length - 1 : 0);
        const bool whole = length > 0 && rest.size() == length - 1 && std::all_of(rest.begin(), rest.end(), [](char c) {
                               return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
                           });
        stray += !whole;
        i += whole ? length : 1;
    }
    return stray;
}

}  // namespace

std::string file_problem(const std::string & path) {
    std::error_code error;
    switch (fs::status(path, error).type()) {
        case fs::file_type::regular:
            return "";
        case fs::file_type::not_found:
            return "there is no file " + path;
        case fs::file_type::directory:
            return path + " is a folder, not a file";
        case fs::file_type::fifo:
            return path + " is a pipe, not a file";
        case fs::file_type::none:
            return "cannot look at " + path + ": " + error.message();
        default:
            return path + " is a device, not a file";
    }
}

std::string read_file(const std::string & path) {
    if (path == "-") {
        return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
    }
    if (const std::string problem = file_problem(path); !problem.empty()) {
        throw failure(problem);
    }
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        throw failure("cannot read " + path);
    }
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string text_document::describe() const {
    return fmt::format("{}, {}", path == "-" ? "standard input" : path, show_bytes(text.size()));
}

text_document checked_document(const std::string & path, std::string bytes) {
    const std::string name = path == "-" ? "standard input" : path;
    if (bytes.find_first_not_of(" \t\r\n") == std::string::npos) {
        throw failure(name + " is empty: there is nothing to read");
    }
    for (const signature & each : k_no_texts) {
        if (bytes.starts_with(each.first_bytes)) {
            throw failure(fmt::format("{} is {}, not plain text; {}", name, each.kind, each.advice));
        }
    }
    if (looks_like_utf16(bytes)) {
        throw failure(fmt::format("{} is UTF-16, not UTF-8; convert it first: iconv -f UTF-16 -t UTF-8 FILE", name));
    }
    if (const size_t at = bytes.find('\0'); at != std::string::npos) {
        throw failure(fmt::format("{} holds a zero byte (at {}): it is no plain text", name, at));
    }
    constexpr std::string_view k_byte_order_mark = "\xef\xbb\xbf";
    if (bytes.starts_with(k_byte_order_mark)) {
        bytes.erase(0, k_byte_order_mark.size());
    }
    text_document document{path, std::move(bytes), ""};
    if (const size_t stray = stray_bytes(document.text); stray > 0) {
        document.note = fmt::format(
            "{} is not all UTF-8: {} bytes belong to no character, and the model cannot make sense of them; if it is "
            "Latin-1, convert it: iconv -f LATIN1 -t UTF-8 FILE",
            name, stray);
    }
    return document;
}

text_document read_document(const std::string & path) {
    if (path != "-") {
        if (const std::string problem = file_problem(path); !problem.empty()) {
            throw failure(problem + (problem.ends_with("a folder, not a file") ? "; name a plain text with -f"
                                     : problem.ends_with("not a file")         ? "; pipe it in instead: -f -"
                                                                               : ""));
        }
    }
    return checked_document(path, read_file(path));
}

}  // namespace tmx
