#include "plan/object_reader.h"

#include <algorithm>
#include <utility>

#include "plan/quote.h"

namespace tmx {
namespace {

bool printable(const std::string & text) {
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return true;
}

}  // namespace

std::string shown(const json & value) {
    if (value.is_string()) {
        return quote(value.get_ref<const std::string &>());
    }
    if (value.is_structured()) {
        return value.is_object() ? "an object" : "an array";
    }
    return value.dump();
}

std::string path_of(const std::string & parent, std::string_view key) {
    const bool plain = key.size() <= 60 && key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == key.npos;
    std::string path = parent;
    if (!path.empty()) {
        path += '.';
    }
    path += plain ? std::string(key) : quote(key);
    return path;
}

object_reader::object_reader(const json & object, std::string path, std::string & error)
    : object_(object), path_(std::move(path)), error_(error) {
    if (!object_.is_object()) {
        fail(path_.empty() ? "the file" : path_, "found " + shown(object_) + ", expected an object");
    }
}

void object_reader::allow_only(std::span<const std::string_view> allowed, key_hint hint) {
    if (!ok()) {
        return;
    }
    std::string list;
    for (const std::string_view key : allowed) {
        if (!list.empty()) {
            list += ", ";
        }
        list += key;
    }
    for (const auto & member : object_.items()) {
        if (std::find(allowed.begin(), allowed.end(), member.key()) == allowed.end()) {
            std::string text = "unknown key; ";
            if (hint != nullptr) {
                text += hint(member.key());
            }
            text += "allowed here: ";
            text += list;
            fail(path_of(path_, member.key()), text);
            return;
        }
    }
}

const json * object_reader::find(const char * key, bool required) {
    if (!ok()) {
        return nullptr;
    }
    const auto found = object_.find(key);
    if (found != object_.end()) {
        return &*found;
    }
    if (required) {
        fail(path_of(path_, key), "missing; it is required");
    }
    return nullptr;
}

void object_reader::integer(const char * key, bool required, int64_t smallest, int64_t largest, int64_t & value) {
    const json * found = find(key, required);
    if (found == nullptr) {
        return;
    }
    // Unsigned first: a number above int64's range would turn negative in get<int64_t>().
    const bool above = found->is_number_unsigned() && found->get<uint64_t>() > static_cast<uint64_t>(largest);
    if (!found->is_number_integer() || above || found->get<int64_t>() < smallest) {
        fail(path_of(path_, key), "found " + shown(*found) + ", expected an integer from " + std::to_string(smallest) +
                                      " to " + std::to_string(largest));
        return;
    }
    value = found->get<int64_t>();
}

void object_reader::integer(const char * key, bool required, int32_t smallest, int32_t largest, int32_t & value) {
    int64_t wide = value;
    integer(key, required, int64_t{smallest}, int64_t{largest}, wide);
    value = static_cast<int32_t>(wide);
}

void object_reader::number(const char * key, double smallest, double largest, double & value) {
    const json * found = find(key, false);
    if (found == nullptr) {
        return;
    }
    if (!found->is_number() || !(found->get<double>() >= smallest && found->get<double>() <= largest)) {
        fail(path_of(path_, key), "found " + shown(*found) + ", expected a number from " + json(smallest).dump() +
                                      " to " + json(largest).dump());
        return;
    }
    value = found->get<double>();
}

void object_reader::text(const char * key, size_t max_bytes, std::string & value) {
    const json * found = find(key, false);
    if (found == nullptr) {
        return;
    }
    const std::string * text = found->get_ptr<const std::string *>();
    if (text == nullptr || text->empty() || text->size() > max_bytes || !printable(*text)) {
        fail(path_of(path_, key), "found " + shown(*found) + ", expected a string of 1 to " +
                                      std::to_string(max_bytes) + " bytes without control characters");
        return;
    }
    value = *text;
}

void object_reader::fail(const std::string & where, const std::string & what) {
    if (ok()) {
        error_ = where + ": " + what;
    }
}

}  // namespace tmx
