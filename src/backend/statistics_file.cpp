#include "backend/statistics_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tmx {
namespace {

class descriptor {
  public:
    explicit descriptor(int number) : number_(number) {}
    ~descriptor() {
        if (number_ >= 0) {
            close(number_);
        }
    }
    descriptor(const descriptor &) = delete;
    descriptor & operator=(const descriptor &) = delete;

    int get() const { return number_; }

  private:
    int number_;
};

// "folder/stats.json" -> "folder/stats.PID.json"; a second file of one process id (they are used again) gets a number.
std::string beside(const std::string & path, int attempt) {
    const size_t name = path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1;
    const size_t dot = path.rfind('.');
    const size_t at = dot == std::string::npos || dot <= name ? path.size() : dot;
    std::string other = path.substr(0, at);
    other += '.';
    other += std::to_string(getpid());
    if (attempt > 1) {
        other += '-';
        other += std::to_string(attempt);
    }
    return other + path.substr(at);
}

std::string write_all(int file, const std::string & text) {
    size_t written = 0;
    while (written < text.size()) {
        const ssize_t n = write(file, text.data() + written, text.size() - written);
        if (n < 0 && errno != EINTR) {
            return std::strerror(errno);
        }
        written += n > 0 ? static_cast<size_t>(n) : 0;
    }
    return "";
}

// True: written, or failed for good with `problem`. False: the file holds something already.
bool try_to_write(const std::string & path, const std::string & text, std::string & problem) {
    // A pipe that nobody reads must not hold up the end of the process.
    const descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0666));
    struct stat found {};
    if (file.get() < 0 || fstat(file.get(), &found) != 0) {
        problem = std::strerror(errno);
        return true;
    }
    if (S_ISREG(found.st_mode)) {
        // Of two processes that end at once, the second to get the lock sees what the first one wrote. Where a file
        // system has no locks, that moment is all that is unprotected.
        static_cast<void>(flock(file.get(), LOCK_EX));
        if (fstat(file.get(), &found) != 0 || found.st_size > 0) {
            return false;
        }
    }
    problem = write_all(file.get(), text);
    return true;
}

}  // namespace

std::string statistics_path(const std::string & setting) {
    std::string path = setting;
    const std::string id = std::to_string(getpid());
    for (size_t at = 0; (at = path.find("%p", at)) != std::string::npos; at += id.size()) {
        path.replace(at, 2, id);
    }
    return path;
}

std::string statistics_path_problem(const std::string & path) {
    struct stat found {};
    const bool there = stat(path.c_str(), &found) == 0;
    if (there && S_ISDIR(found.st_mode)) {
        return std::strerror(EISDIR);
    }
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    const bool special = there && !S_ISREG(found.st_mode);
    return access(special ? path.c_str() : folder.c_str(), W_OK) == 0 ? "" : std::strerror(errno);
}

bool statistics_path_taken(const std::string & path) {
    struct stat found {};
    return stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) && found.st_size > 0;
}

std::string write_statistics_file(const std::string & path, const std::string & text) {
    constexpr int k_most_attempts = 100;
    std::string problem;
    for (int attempt = 0; attempt < k_most_attempts; ++attempt) {
        if (try_to_write(attempt == 0 ? path : beside(path, attempt), text, problem)) {
            return problem;
        }
    }
    return std::strerror(EEXIST);
}

}  // namespace tmx
