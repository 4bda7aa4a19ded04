#include "eval/official/fill_template.h"

#include <algorithm>

#include "runtime/failure.h"

namespace tmx {
namespace {

size_t count_of(const std::string & text, const std::string & part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
        ++n;
    }
    return n;
}

}  // namespace

filled_text fill_braces(const std::string & format, const named_texts & fields) {
    filled_text filled;
    for (size_t at = 0; at < format.size(); ++at) {
        const char c = format[at];
        if (c != '{' && c != '}') {
            filled.text += c;
            continue;
        }
        if (at + 1 < format.size() && format[at + 1] == c) {
            filled.text += c;
            ++at;
            continue;
        }
        const size_t end = format.find('}', at);
        if (c == '}' || end == std::string::npos) {
            throw failure("a brace in the prompt's format has no partner; one that is meant as such is written twice");
        }
        const std::string name = format.substr(at + 1, end - at - 1);
        const auto field = std::find_if(fields.begin(), fields.end(), [&](const auto & f) { return f.first == name; });
        if (field == fields.end()) {
            throw failure("the prompt's format asks for {" + name + "}, which rows do not have");
        }
        filled.text += field->second;
        if (field == fields.begin()) {
            filled.behind_context = filled.text.size();
        }
        at = end;
    }
    return filled;
}

filled_text replace_markers(const std::string & format, const named_texts & fields, bool & expanded) {
    filled_text filled;
    filled.text = format;
    for (size_t i = 0; i < fields.size(); ++i) {
        const auto & [marker, text] = fields[i];
        if (format.find(marker) == std::string::npos) {
            throw failure("the prompt's format has no " + marker);
        }
        expanded = expanded || count_of(filled.text, marker) > count_of(format, marker);
        for (size_t at = filled.text.find(marker); at != std::string::npos;
             at = filled.text.find(marker, at + text.size())) {
            filled.text.replace(at, marker.size(), text);
            if (i == 0) {
                filled.behind_context = at + text.size();
            } else if (at < filled.behind_context) {
                filled.behind_context += text.size() - marker.size();
            }
        }
    }
    return filled;
}

}  // namespace tmx
