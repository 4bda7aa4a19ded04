#include "eval/score/number_share.h"

#include <algorithm>

#include "eval/score/characters.h"

namespace tmx {

double number_share(std::string_view prediction, std::string_view number) {
    const auto runs = digit_runs(decode_utf8(prediction));
    if (runs.empty()) {
        return 0;
    }
    const auto n_equal = std::count(runs.begin(), runs.end(), decode_utf8(number));
    return static_cast<double>(n_equal) / static_cast<double>(runs.size());
}

std::optional<std::string> paragraph_number(std::string_view answer) {
    constexpr std::u32string_view k_word = U"Paragraph ";
    const std::u32string text = decode_utf8(answer);
    for (size_t at = text.find(k_word); at != std::u32string::npos; at = text.find(k_word, at + 1)) {
        const size_t begin = at + k_word.size();
        size_t end = begin;
        while (end < text.size() && digit_of(text[end]) >= 0) {
            ++end;
        }
        if (end > begin) {
            return encode_utf8(std::u32string_view(text).substr(begin, end - begin));
        }
    }
    return std::nullopt;
}

}  // namespace tmx
