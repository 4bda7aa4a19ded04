// identity/gguf_header.h -- the metadata of a GGUF file (docs/gguf.md of ggml), read without ggml: who starts a host
// wants to know its model before any of its libraries is loaded, or has none of its own.
//
// Takes hostile files: never throws for what they hold, and reads what it is asked for once, in one pass.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trianglemix/plan.h"

namespace tmx {

// Long values are not kept (vocabularies): they are as if they were not there.
class gguf_header {
  public:
    bool has(const std::string & key) const;
    std::string text(const std::string & key) const;                     // "" if there is no such text
    std::optional<int64_t> number(const std::string & key) const;        // a whole one
    std::vector<int64_t> numbers(const std::string & key) const;         // of a list of whole numbers or truth values
    static parsed<gguf_header> read(const std::string & path) noexcept;  // ERRORS: no file, no GGUF file, cut short

  private:
    struct value {
        std::string text;
        std::vector<int64_t> numbers;
        bool is_text = false;
        bool is_list = false;
    };
    std::map<std::string, value> values_;

    friend class gguf_reader;
};

}  // namespace tmx
