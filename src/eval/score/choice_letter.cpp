#include "eval/score/choice_letter.h"

#include <algorithm>
#include <string>

namespace tmx {
namespace {

bool is_choice(const std::string & text, size_t at) {
    return at < text.size() && text[at] >= 'A' && text[at] <= 'D';
}

std::optional<char> letter_behind(const std::string & text, std::string_view words, std::string_view end) {
    for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) {
        const size_t letter = at + words.size();
        if (is_choice(text, letter) && text.compare(letter + 1, end.size(), end) == 0) {
            return text[letter];
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<char> choice_letter(std::string_view text) {
    std::string plain(text);
    std::erase(plain, '*');
    const std::optional<char> in_brackets = letter_behind(plain, "The correct answer is (", ")");
    return in_brackets ? in_brackets : letter_behind(plain, "The correct answer is ", "");
}

}  // namespace tmx
