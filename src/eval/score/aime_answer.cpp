#include "eval/score/aime_answer.h"

#include <algorithm>

#include "eval/score/numbers.h"

namespace tmx {
namespace {

// The only run of digits (with commas) in the box; commands such as \text{ cm} and units beside it do not matter, a
// second number or something computed does.
std::optional<std::string> only_number(std::string_view inside) {
    std::optional<std::string> number;
    for (size_t at = 0; at < inside.size();) {
        if (!is_digit(inside[at])) {
            if (std::string_view("+*/=.-").find(inside[at]) != std::string_view::npos) {
                return std::nullopt;
            }
            ++at;
            continue;
        }
        size_t end = at;
        while (end < inside.size() && (is_digit(inside[end]) ||
                                       (inside[end] == ',' && end + 1 < inside.size() && is_digit(inside[end + 1])))) {
            ++end;
        }
        const bool exponent = at > 0 && (inside[at - 1] == '^' || inside[at - 1] == '_');
        if (number || exponent) {
            return std::nullopt;
        }
        number = plain_integer(inside.substr(at, end - at));
        at = end;
    }
    return inside.find("\\frac") == std::string_view::npos && inside.find("\\sqrt") == std::string_view::npos
               ? number
               : std::nullopt;
}

std::optional<std::string> number_behind(std::string_view text, std::string_view words) {
    std::optional<std::string> last;
    for (size_t at = text.find(words); at != std::string_view::npos; at = text.find(words, at + 1)) {
        const size_t begin = std::min(text.find_first_not_of(" \t\r\n*$:(\\", at + words.size()), text.size());
        size_t end = begin;
        while (end < text.size() && is_digit(text[end])) {
            ++end;
        }
        last = end > begin ? plain_integer(text.substr(begin, end - begin)) : last;
    }
    return last;
}

}  // namespace

std::optional<std::string> aime_answer(std::string_view text) {
    text = behind_thinking(text);
    if (std::optional<std::string> boxed = last_boxed(text, only_number)) {
        return boxed;
    }
    std::optional<std::string> said = number_behind(text, "nswer is");
    if (!said) {
        said = number_behind(text, "nswer:");
    }
    return said ? said : last_integer(text);
}

}  // namespace tmx
