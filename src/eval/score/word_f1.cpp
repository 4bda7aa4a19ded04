#include "eval/score/word_f1.h"

#include <map>
#include <string>
#include <vector>

#include "eval/score/characters.h"

namespace tmx {
namespace {

bool is_punctuation(char32_t c) {
    return (c >= 0x21 && c <= 0x2f) || (c >= 0x3a && c <= 0x40) || (c >= 0x5b && c <= 0x60) || (c >= 0x7b && c <= 0x7e);
}

bool is_article(std::u32string_view word) {
    return word == U"a" || word == U"an" || word == U"the";
}

// Each article that stands as a word of its own becomes a blank.
std::u32string without_articles(std::u32string_view text) {
    std::u32string result;
    for (size_t at = 0; at < text.size();) {
        size_t end = at;
        while (end < text.size() && is_word(text[end])) {
            ++end;
        }
        const std::u32string_view word = text.substr(at, end - at);
        if (is_article(word)) {
            result += U' ';
        } else {
            result += word;
        }
        if (end < text.size()) {
            result += text[end++];
        }
        at = end;
    }
    return result;
}

std::vector<std::u32string> normalised_words(std::string_view text) {
    std::u32string kept;
    for (const char32_t c : lower_case(decode_utf8(text))) {
        if (!is_punctuation(c)) {
            kept += c;
        }
    }
    return split_at_blanks(without_articles(kept));
}

}  // namespace

double word_f1(std::string_view prediction, std::string_view answer) {
    const std::vector<std::u32string> said = normalised_words(prediction);
    const std::vector<std::u32string> right = normalised_words(answer);
    std::map<std::u32string, size_t> left;
    for (const std::u32string & word : right) {
        ++left[word];
    }
    size_t n_shared = 0;
    for (const std::u32string & word : said) {
        const auto found = left.find(word);
        if (found != left.end() && found->second > 0) {
            --found->second;
            ++n_shared;
        }
    }
    if (n_shared == 0) {
        return 0;
    }
    const double precision = static_cast<double>(n_shared) / static_cast<double>(said.size());
    const double recall = static_cast<double>(n_shared) / static_cast<double>(right.size());
    return 2 * precision * recall / (precision + recall);
}

}  // namespace tmx
