// Where plans come from: text, files, presets. The only place of the readers where exceptions stop.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <string>

#include "plan/limits.h"
#include "plan/plan_text.h"
#include "plan/quote.h"

namespace tmx {
namespace {

using plan_limits::max_text_bytes;

struct close_file {
    void operator()(std::FILE * file) const { std::fclose(file); }
};
using file_handle = std::unique_ptr<std::FILE, close_file>;

// Regular files only: a pipe may have no writer, a device no end. Looked at when it is open already, so that it cannot
// become another file in between; opening waits for nobody.
file_handle open_regular(const std::string & path, std::string & error) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) {
        error = std::strerror(errno);
        return nullptr;
    }
    struct stat found {};
    if (fstat(descriptor, &found) == 0 && S_ISDIR(found.st_mode)) {
        error = std::strerror(EISDIR);
    } else if (!S_ISREG(found.st_mode)) {
        error = S_ISFIFO(found.st_mode) ? "is a pipe, and a plan is read from a regular file"
                                        : "is a device, and a plan is read from a regular file";
    } else if (file_handle file{fdopen(descriptor, "rb")}) {
        return file;
    } else {
        error = std::strerror(errno);
    }
    close(descriptor);
    return nullptr;
}

// The whole file, but never much more than a plan may hold.
parsed<std::string> read_text(const std::string & path) {
    parsed<std::string> result;
    const file_handle file = open_regular(path, result.error);
    if (file == nullptr) {
        return result;
    }
    std::array<char, 16384> block;
    size_t n = 0;
    do {
        n = std::fread(block.data(), 1, block.size(), file.get());
        result.value.append(block.data(), n);
    } while (n > 0 && result.value.size() <= max_text_bytes);
    if (std::ferror(file.get()) != 0) {
        result.error = std::strerror(errno);
    }
    return result;
}

parsed<plan> parse_file(const std::string & path) {
    const parsed<std::string> text = read_text(path);
    parsed<plan> result;
    if (text.ok()) {
        result = parse_plan_text(text.value);
    } else {
        result.error = text.error;
    }
    if (!result.ok()) {
        result.error.insert(0, "plan file " + quote(path) + ": ");
    }
    return result;
}

parsed<plan> parse_preset(std::string_view name) {
    const plan_preset * preset = find_preset(name);
    if (preset != nullptr) {
        return parse_plan_text(preset->json_text);
    }
    std::string names;
    for (const plan_preset & each : plan_presets()) {
        if (!names.empty()) {
            names += ", ";
        }
        names += each.name;
    }
    return {{}, "no preset " + quote(name) + "; there are: " + names};
}

template <class Read>
parsed<plan> without_exceptions(Read read) noexcept {
    try {
        return read();
    } catch (const std::exception &) {
        return {{}, "out of memory"};
    }
}

}  // namespace

parsed<plan> parse_plan(std::string_view json_text) noexcept {
    return without_exceptions([&] { return parse_plan_text(json_text); });
}

parsed<plan> read_plan_file(const std::string & path) noexcept {
    return without_exceptions([&] { return parse_file(path); });
}

parsed<plan> load_plan(const std::string & reference) noexcept {
    constexpr std::string_view prefix = "preset:";
    return without_exceptions([&] {
        return reference.starts_with(prefix) ? parse_preset(std::string_view(reference).substr(prefix.size()))
                                             : parse_file(reference);
    });
}

}  // namespace tmx
