#include "cli/output_file.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "cli/build_info.h"
#include "commit/published.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

namespace fs = std::filesystem;

void write(const std::string & path, const std::string & text, std::ios::openmode mode) {
    std::ofstream out(path, std::ios::binary | mode);
    out << text;
    out.close();
    if (!out) {
        throw failure("cannot write " + path);
    }
}

}  // namespace

void write_file(const std::string & path, const std::string & text) {
    if (fs::exists(path) && !fs::is_regular_file(path)) {
        write(path, text, std::ios::app);
        return;
    }
    // Beside the file itself, not beside a link to it: a rename must not cross file systems, nor replace the link.
    const std::string target = fs::weakly_canonical(path).string();
    const std::string part = target + ".part";
    write(part, text, std::ios::trunc);
    std::error_code error;
    fs::rename(part, target, error);
    if (error) {
        fs::remove(part);
        throw failure("cannot write " + path + ": " + error.message());
    }
}

void append_to_file(const std::string & path, const std::string & text) {
    bool cut_short = false;
    if (fs::is_regular_file(path) && fs::file_size(path) > 0) {
        std::ifstream in(path, std::ios::binary);
        in.seekg(-1, std::ios::end);
        cut_short = in.get() != '\n';
    }
    write(path, (cut_short ? "\n" : "") + text, std::ios::app);
}

void check_writable(const std::string & path) {
    if (const std::string why = why_not_published(path, source_commit()); !why.empty()) {
        throw failure(why);
    }
    const bool existed = fs::exists(path);
    if (!std::ofstream(path, std::ios::app)) {
        throw failure("cannot write " + path);
    }
    if (!existed) {
        fs::remove(path);
    }
}

}  // namespace tmx
