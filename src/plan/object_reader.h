// plan/object_reader.h -- members of one JSON object, each checked and named by its path in the error.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "plan/checked_json.h"
#include "trianglemix/plan.h"

namespace tmx {

// A value as an error message shows it: short, on one line.
std::string shown(const json & value);

// "model" + "heads" -> "model.heads"; a key of other than plain letters and digits is quoted.
std::string path_of(const std::string & parent, std::string_view key);

// The first error stays, in `error`, which several readers share. After it a read does nothing, so one check is enough.
class object_reader {
  public:
    // `path` is "" for the outermost object. `object` and `error` must outlive the reader.
    object_reader(const json & object, std::string path, std::string & error);

    // `hint`: what is said of an unknown key besides, as a clause that ends in "; ", or ""; null: nothing.
    using key_hint = const char * (*)(std::string_view key);
    void allow_only(std::span<const std::string_view> allowed, key_hint hint = nullptr);
    const json * find(const char * key, bool required);  // null if absent, or after an error

    void integer(const char * key, bool required, int64_t smallest, int64_t largest, int64_t & value);
    void integer(const char * key, bool required, int32_t smallest, int32_t largest, int32_t & value);

    // Optional.
    void number(const char * key, double smallest, double largest, double & value);

    // Optional text that may be printed: 1 to max_bytes bytes, no control characters.
    void text(const char * key, size_t max_bytes, std::string & value);

    // A string that `read` turns into a parsed<T>.
    template <class T, class Read>
    void word(const char * key, bool required, const char * expected, T & value, Read read) {
        const json * found = find(key, required);
        if (found == nullptr) {
            return;
        }
        if (!found->is_string()) {
            fail(path_of(path_, key), "found " + shown(*found) + ", expected " + expected);
            return;
        }
        parsed<T> result = read(found->get_ref<const std::string &>());
        if (!result.ok()) {
            fail(path_of(path_, key), result.error);
            return;
        }
        value = std::move(result.value);
    }

    void fail(const std::string & where, const std::string & what);
    bool ok() const { return error_.empty(); }

  private:
    const json & object_;
    std::string path_;
    std::string & error_;
};

}  // namespace tmx
