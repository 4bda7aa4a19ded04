#include "identity/gguf_header.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <new>
#include <stdexcept>

namespace tmx {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

// Kinds of values, as files number them.
enum class kind : uint32_t { u8, i8, u16, i16, u32, i32, f32, truth, text, list, u64, i64, f64 };
constexpr uint64_t k_size[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};  // bytes; 0: its own length stands before it
constexpr uint32_t k_n_kinds = std::size(k_size);

constexpr uint64_t k_longest_key = 65535;  // what the format allows
constexpr uint64_t k_most_values = 65536;  // far more than any file has
constexpr uint64_t k_longest_text = 4096;  // that is kept
constexpr uint64_t k_longest_list = 4096;  // likewise; a list for each layer is what is looked for
constexpr uint32_t k_oldest_version = 2, k_newest_version = 3;

class bad_file : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

class bytes_of_file {
  public:
    explicit bytes_of_file(const std::string & path) : file_(std::fopen(path.c_str(), "rb"), std::fclose) {
        if (file_ == nullptr) {
            throw bad_file("it cannot be opened");
        }
        std::setvbuf(file_.get(), nullptr, _IOFBF, 1 << 20);
        left_ = std::filesystem::file_size(path);
    }

    void read(void * to, uint64_t size) {
        take(size);
        if (std::fread(to, 1, size, file_.get()) != size) {
            throw bad_file("it cannot be read");
        }
    }

    template <class T>
    T read() {
        T value;
        read(&value, sizeof(value));
        return value;
    }

    // Seeking would drop what is buffered, and most of what is skipped is a vocabulary's short texts.
    void skip(uint64_t size) {
        take(size);
        char dropped[4096];
        for (uint64_t n = 0; size > 0; size -= n) {
            n = std::min<uint64_t>(size, sizeof(dropped));
            if (std::fread(dropped, 1, n, file_.get()) != n) {
                throw bad_file("it cannot be read");
            }
        }
    }

  private:
    std::unique_ptr<std::FILE, int (*)(std::FILE *)> file_;
    uint64_t left_ = 0;

    void take(uint64_t size) {
        if (size > left_) {
            throw bad_file("it is cut short, or no GGUF file: its metadata goes on behind its end");
        }
        left_ -= size;
    }
};

bool is_whole(kind of) {
    return of != kind::f32 && of != kind::f64 && of != kind::text && of != kind::list;
}

}  // namespace

class gguf_reader {
  public:
    explicit gguf_reader(const std::string & path) : bytes_(path) {}

    gguf_header header() {
        char magic[4];
        bytes_.read(magic, sizeof(magic));
        if (std::memcmp(magic, "GGUF", sizeof(magic)) != 0) {
            throw bad_file("it is no GGUF file");
        }
        const auto version = bytes_.read<uint32_t>();
        if (version < k_oldest_version || version > k_newest_version) {
            throw bad_file("it is a GGUF file of version " + std::to_string(version) + "; versions 2 and 3 are known");
        }
        bytes_.read<uint64_t>();  // tensors
        const auto n_values = bytes_.read<uint64_t>();
        if (n_values > k_most_values) {
            throw bad_file("it is damaged: " + std::to_string(n_values) + " values of metadata");
        }
        gguf_header header;
        for (uint64_t i = 0; i < n_values; ++i) {
            const std::string key = read_key();
            const kind of = read_kind();
            gguf_header::value value;
            if (read_value(of, value)) {
                header.values_.insert_or_assign(key, std::move(value));
            }
        }
        return header;
    }

  private:
    bytes_of_file bytes_;

    kind read_kind() {
        const auto number = bytes_.read<uint32_t>();
        if (number >= k_n_kinds) {
            throw bad_file("it is damaged: a value is of kind " + std::to_string(number));
        }
        return static_cast<kind>(number);
    }

    std::string read_text(uint64_t length) {
        std::string text(length, '\0');
        bytes_.read(text.data(), length);
        return text;
    }

    std::string read_key() {
        const auto length = bytes_.read<uint64_t>();
        if (length > k_longest_key) {
            throw bad_file("it is damaged: a key of " + std::to_string(length) + " bytes");
        }
        return read_text(length);
    }

    int64_t whole(kind of) {
        switch (of) {
            case kind::u8:
            case kind::truth:
                return bytes_.read<uint8_t>();
            case kind::i8:
                return bytes_.read<int8_t>();
            case kind::u16:
                return bytes_.read<uint16_t>();
            case kind::i16:
                return bytes_.read<int16_t>();
            case kind::u32:
                return bytes_.read<uint32_t>();
            case kind::i32:
                return bytes_.read<int32_t>();
            default:
                return bytes_.read<int64_t>();
        }
    }

    // False: of a kind, or longer, than is kept.
    bool read_value(kind of, gguf_header::value & value) {
        if (of == kind::text) {
            const auto length = bytes_.read<uint64_t>();
            if (length > k_longest_text) {
                bytes_.skip(length);
                return false;
            }
            value.is_text = true;
            value.text = read_text(length);
            return true;
        }
        if (of == kind::list) {
            value.is_list = true;
            return read_list(value);
        }
        if (!is_whole(of)) {
            bytes_.skip(k_size[static_cast<uint32_t>(of)]);
            return false;
        }
        value.numbers.push_back(whole(of));
        return true;
    }

    bool read_list(gguf_header::value & value) {
        const kind of = read_kind();
        const auto length = bytes_.read<uint64_t>();
        if (of == kind::list) {
            throw bad_file("it is damaged: a list of lists");
        }
        if (is_whole(of) && length <= k_longest_list) {
            for (uint64_t i = 0; i < length; ++i) {
                value.numbers.push_back(whole(of));
            }
            return true;
        }
        if (of == kind::text) {
            for (uint64_t i = 0; i < length; ++i) {
                bytes_.skip(bytes_.read<uint64_t>());
            }
        } else if (length > UINT64_MAX / 8) {
            throw bad_file("it is damaged: a list of " + std::to_string(length) + " values");
        } else {
            bytes_.skip(length * k_size[static_cast<uint32_t>(of)]);
        }
        return false;
    }
};

bool gguf_header::has(const std::string & key) const {
    return values_.contains(key);
}

std::string gguf_header::text(const std::string & key) const {
    const auto found = values_.find(key);
    return found != values_.end() && found->second.is_text ? found->second.text : "";
}

std::optional<int64_t> gguf_header::number(const std::string & key) const {
    const auto found = values_.find(key);
    const bool there = found != values_.end() && !found->second.is_text && !found->second.is_list;
    return there ? std::optional<int64_t>(found->second.numbers.front()) : std::nullopt;
}

std::vector<int64_t> gguf_header::numbers(const std::string & key) const {
    const auto found = values_.find(key);
    return found != values_.end() && found->second.is_list ? found->second.numbers : std::vector<int64_t>();
}

parsed<gguf_header> gguf_header::read(const std::string & path) noexcept {
    try {
        std::error_code error;
        if (!std::filesystem::is_regular_file(path, error)) {
            return {{},
                    std::filesystem::exists(path, error) ? path + " is no regular file" : "no model file at " + path};
        }
        return {gguf_reader(path).header(), ""};
    } catch (const bad_file & bad) {
        return {{}, "cannot read the model file " + path + ": " + bad.what()};
    } catch (const std::exception &) {
        return {{}, "cannot read the model file: out of memory"};
    }
}

}  // namespace tmx
