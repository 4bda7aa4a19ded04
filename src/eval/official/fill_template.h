// eval/official/fill_template.h -- official prompts with their blanks filled in.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tmx {

struct filled_text {
    std::string text;
    size_t behind_context = 0;  // byte behind the field that is the context; 0: it is not there
};

using named_texts = std::vector<std::pair<std::string, std::string>>;  // the first one is the context

// As Python's str.format(): "{name}" is the field's text, "{{" and "}}" are braces.
// ERRORS failure: the format names another field, or a brace has no partner.
filled_text fill_braces(const std::string & format, const named_texts & fields);

// As LongBench v2 does it: each marker in its turn is replaced wherever it stands, also in texts filled in before.
// `expanded` becomes true where that happened. ERRORS failure: a marker is missing.
filled_text replace_markers(const std::string & format, const named_texts & fields, bool & expanded);

}  // namespace tmx
