#include "eval/tasks/sentences.h"

#include <algorithm>
#include <array>

namespace tmx {
namespace {

constexpr std::array<std::string_view, 20> k_abbreviations = {"Dr",  "Mr",  "Mrs", "Ms",  "St",  "Prof", "Sr",
                                                              "Jr",  "vs",  "etc", "e.g", "i.e", "cf",   "No",
                                                              "Vol", "Fig", "Mt",  "Lt",  "Col", "Gen"};

bool capital(char c) {
    return c >= 'A' && c <= 'Z';
}

// Whether the full stop at `at` only shortens the word before it.
bool shortens(std::string_view text, size_t at) {
    size_t begin = at;
    while (begin > 0 && text[begin - 1] != ' ') {
        --begin;
    }
    std::string_view word = text.substr(begin, at - begin);
    while (!word.empty() && (word.front() == '"' || word.front() == '\'' || word.front() == '(')) {
        word.remove_prefix(1);
    }
    const bool initial = word.size() == 1 && capital(word.front()) && word.front() != 'I';
    return initial || std::find(k_abbreviations.begin(), k_abbreviations.end(), word) != k_abbreviations.end();
}

}  // namespace

std::vector<std::string_view> split_sentences(std::string_view text) {
    constexpr std::string_view k_closing = "\"')]";
    constexpr std::string_view k_opening = "\"'([";
    std::vector<std::string_view> sentences;
    size_t begin = 0;
    for (size_t at = text.find_first_of(".?!"); at != std::string_view::npos; at = text.find_first_of(".?!", at + 1)) {
        size_t end = at + 1;
        while (end < text.size() && k_closing.find(text[end]) != std::string_view::npos) {
            ++end;
        }
        if (end + 1 >= text.size() || text[end] != ' ') {
            continue;
        }
        const char next = text[end + 1];
        const bool starts =
            capital(next) || (next >= '0' && next <= '9') || k_opening.find(next) != std::string_view::npos;
        if (starts && !(text[at] == '.' && shortens(text, at))) {
            sentences.push_back(text.substr(begin, end - begin));
            begin = end + 1;
        }
    }
    if (begin < text.size()) {
        sentences.push_back(text.substr(begin));
    }
    return sentences;
}

std::string collapse_blanks(std::string_view text) {
    std::string result;
    for (const char c : text) {
        const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
        if (!blank) {
            result += c;
        } else if (!result.empty() && result.back() != ' ') {
            result += ' ';
        }
    }
    if (!result.empty() && result.back() == ' ') {
        result.pop_back();
    }
    return result;
}

}  // namespace tmx
