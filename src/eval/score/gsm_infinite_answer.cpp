#include "eval/score/gsm_infinite_answer.h"

#include <algorithm>
#include <array>

#include "eval/score/characters.h"
#include "eval/score/numbers.h"

namespace tmx {
namespace {

struct marker {
    std::u32string_view opening, closing;  // closing empty: as far as digits go
    bool last = false;                     // where it occurs last, not first
};

constexpr std::array<marker, 10> k_markers{{
    {U"answer: ", U"."},
    {U"solution: ", U"."},
    {U"oxed{", U"}", true},
    {U"**answer:** ", U"."},
    {U"**answer: ", U"**"},
    {U"final answer: answer: ", U"."},
    {U"\nanswer: ", U"."},
    {U"\\text{answer: } ", U""},
    {U"is ", U".", true},
    {U"answer: ", U"\n"},
}};

std::string ascii_lower(std::string_view text) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return lower;
}

// A backspace, which "\b" of "\boxed" became somewhere on the way, and what stands before it, are a "b" again.
std::u32string without_backspaces(std::u32string_view text) {
    std::u32string result;
    for (size_t at = 0; at < text.size(); ++at) {
        if (text[at] != U'\n' && at + 1 < text.size() && text[at + 1] == U'\b') {
            result += U'b';
            ++at;
        } else {
            result += text[at];
        }
    }
    return result;
}

// Digits with commas at `at`, perhaps behind a minus; "" if there are none.
std::string_view number_at(std::string_view text, size_t at) {
    const size_t digits = at + (at < text.size() && text[at] == '-' ? 1 : 0);
    size_t end = digits;
    while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || (text[end] == ',' && end > digits))) {
        ++end;
    }
    return end == digits ? std::string_view() : text.substr(at, end - at);
}

size_t skip(std::string_view text, size_t at, std::string_view what) {
    return std::min(text.find_first_not_of(what, at), text.size());
}

std::optional<std::string> number_behind_answer(std::string_view lower) {
    std::optional<std::string> last;
    constexpr std::string_view k_word = "answer:";
    for (size_t at = lower.find(k_word); at != std::string_view::npos; at = lower.find(k_word, at + 1)) {
        const size_t stars = skip(lower, at + k_word.size(), " \t\r\n");
        const std::string_view number = number_at(lower, skip(lower, skip(lower, stars, "*"), " \t\r\n$"));
        last = number.empty() ? last : plain_integer(number);
    }
    return last;
}

std::string_view last_sentence(std::string_view text) {
    const size_t end = text.find_last_not_of(" \t\r\n.!?*");
    if (end == std::string_view::npos) {
        return {};
    }
    text = text.substr(0, end + 1);
    size_t begin = 0;
    for (size_t at = 0; at + 1 < text.size(); ++at) {
        const bool stop = text[at] == '.' || text[at] == '!' || text[at] == '?';
        if (text[at] == '\n' || (stop && (text[at + 1] == ' ' || text[at + 1] == '\n'))) {
            begin = at + 1;
        }
    }
    return text.substr(begin);
}

std::optional<std::string> number_behind_is(std::string_view lower) {
    const std::string_view sentence = last_sentence(lower);
    std::optional<std::string> last;
    for (size_t at = 0; at < sentence.size(); ++at) {
        const bool word =
            sentence.compare(at, 3, "is ") == 0 && (at == 0 || !is_word(static_cast<unsigned char>(sentence[at - 1])));
        if (!word && sentence[at] != '=') {
            continue;
        }
        const std::string_view number = number_at(sentence, skip(sentence, at + (word ? 3 : 1), " *$"));
        last = number.empty() ? last : plain_integer(number);
    }
    return last;
}

std::optional<std::string> integer_in_box(std::string_view inside) {
    const std::u32string wide = decode_utf8(inside);
    return plain_integer(encode_utf8(strip_blanks(wide)));
}

void add_variables(std::string_view text, std::set<std::string> & found) {
    const std::u32string wide = decode_utf8(text);
    for (size_t at = 0; at < wide.size(); ++at) {
        if (wide[at] != U'V' || (at > 0 && is_word(wide[at - 1]))) {
            continue;
        }
        size_t end = at + 1;
        while (end < wide.size() && digit_of(wide[end]) >= 0) {
            ++end;
        }
        if (end > at + 1 && (end == wide.size() || !is_word(wide[end]))) {
            found.insert(encode_utf8(std::u32string_view(wide).substr(at, end - at)));
        }
    }
}

}  // namespace

std::optional<std::string> solution_number(std::string_view solution) {
    constexpr std::string_view k_word = "Answer: ";
    const size_t at = solution.find(k_word);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    const size_t begin = at + k_word.size();
    return python_integer(decode_utf8(solution.substr(begin, solution.find('.', begin) - begin)));
}

std::optional<std::string> robust_number(std::string_view text) {
    const std::string answer(behind_thinking(text));
    if (std::optional<std::string> boxed = last_boxed(answer, integer_in_box)) {
        return boxed;
    }
    const std::string lower = ascii_lower(answer);
    if (std::optional<std::string> number = number_behind_answer(lower)) {
        return number;
    }
    if (std::optional<std::string> number = number_behind_is(lower)) {
        return number;
    }
    return last_integer(lower);
}

std::optional<std::string> official_number(std::string_view text) {
    const std::u32string lower = lower_case(without_backspaces(decode_utf8(text)));
    for (const marker & m : k_markers) {
        const size_t at = m.last ? lower.rfind(m.opening) : lower.find(m.opening);
        if (at == std::u32string::npos) {
            continue;
        }
        const size_t begin = at + m.opening.size();
        size_t end = begin;
        if (m.closing.empty()) {
            while (end < lower.size() && digit_of(lower[end]) >= 0) {
                ++end;
            }
        } else {
            end = std::min(lower.find(m.closing, begin), lower.size());
        }
        if (std::optional<std::string> number = python_integer(std::u32string_view(lower).substr(begin, end - begin))) {
            return number;
        }
    }
    return std::nullopt;
}

std::set<std::string> named_variables(std::string_view text) {
    const std::string_view answer = behind_thinking(text);
    const std::string lower = ascii_lower(answer);
    size_t begin = 0;
    for (const std::string_view word : {"answer", "final", "therefore"}) {
        const size_t at = lower.rfind(word);
        begin = at == std::string::npos ? begin : std::max(begin, at + word.size());
    }
    std::set<std::string> found;
    if (begin > 0) {
        add_variables(answer.substr(begin), found);
    }
    if (found.empty()) {
        const size_t end = answer.find_last_not_of(" \t\r\n");
        const std::string_view whole = end == std::string_view::npos ? "" : answer.substr(0, end + 1);
        const size_t gap = whole.rfind("\n\n");
        add_variables(gap == std::string_view::npos ? whole : whole.substr(gap), found);
    }
    return found;
}

}  // namespace tmx
