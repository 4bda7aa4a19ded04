#include "profile/record_store.h"

#include <filesystem>
#include <iterator>

#include "runtime/failure.h"

namespace tmx {

record_store::record_store(const std::string & path) : path_(path) {
    if (std::filesystem::exists(path)) {
        std::ifstream in(path, std::ios::binary);
        const std::string content{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
        size_t begin = 0;
        int64_t number = 1;
        for (size_t end = content.find('\n'); end != std::string::npos; end = content.find('\n', begin), ++number) {
            try {
                json record = json::parse(content.substr(begin, end - begin));
                const std::string key = record.at("key");
                records_[key] = std::move(record);
            } catch (const json::exception & error) {
                throw failure(path + ", line " + std::to_string(number) +
                              " is not a measurement of trianglemix profile: " + error.what());
            }
            begin = end + 1;
        }
        if (begin < content.size()) {
            std::filesystem::resize_file(path, begin);
        }
        n_found_ = records_.size();
    }
    out_.open(path, std::ios::app | std::ios::binary);
    if (!out_) {
        throw failure("cannot write " + path);
    }
}

const record_store::json * record_store::find(const std::string & key) const {
    const auto found = records_.find(key);
    return found == records_.end() ? nullptr : &found->second;
}

const record_store::json & record_store::append(const std::string & key, const json & record) {
    json whole = {{"key", key}};
    whole.update(record);
    out_ << whole.dump() << std::endl;
    if (!out_) {
        throw failure("writing a measurement to " + path_ + " failed (disk full?)");
    }
    return records_[key] = std::move(whole);
}

}  // namespace tmx
