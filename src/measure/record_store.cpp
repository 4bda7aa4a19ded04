#include "measure/record_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <iterator>

#include "runtime/failure.h"

namespace tmx {

record_store::record_store(const std::string & path) : path_(path) {
    lock();
    try {
        read();
        out_.open(path, std::ios::app | std::ios::binary);
        if (!out_) {
            throw failure("cannot write " + path);
        }
    } catch (...) {
        close(lock_);
        throw;
    }
}

record_store::~record_store() {
    close(lock_);
}

// Two runs that append to one file would take each other's half-written line for one of a killed run, and cut it off.
void record_store::lock() {
    lock_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock_ < 0) {
        throw failure("cannot write " + path_);
    }
    // Where the file system has no locks, go without.
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(lock_);
        throw failure("another trianglemix is writing to " + path_ + "; wait for it, or name another output with -o");
    }
}

void record_store::read() {
    std::ifstream in(path_, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    size_t begin = 0;
    int64_t number = 1;
    for (size_t end = content.find('\n'); end != std::string::npos; end = content.find('\n', begin), ++number) {
        try {
            json record = json::parse(content.substr(begin, end - begin));
            const std::string key = record.at("key");
            records_[key] = std::move(record);
        } catch (const json::exception & error) {
            throw failure(path_ + ", line " + std::to_string(number) +
                          " is not a measurement of trianglemix: " + error.what());
        }
        begin = end + 1;
    }
    if (begin < content.size()) {
        std::filesystem::resize_file(path_, begin);
    }
    n_found_ = records_.size();
}

const record_store::json * record_store::find(const std::string & key) const {
    const auto found = records_.find(key);
    return found == records_.end() ? nullptr : &found->second;
}

const record_store::json & record_store::append(const std::string & key, const json & record) {
    json whole = {{"key", key}};
    whole.update(record);
    out_ << whole.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
    if (!out_) {
        throw failure("writing a measurement to " + path_ + " failed (disk full?)");
    }
    return records_[key] = std::move(whole);
}

}  // namespace tmx
