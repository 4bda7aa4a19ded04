#include "eval/score/characters.h"

#include <algorithm>

#include "eval/score/unicode_tables.h"

namespace tmx {
namespace {

constexpr char32_t k_no_character = 0xfffd;

bool continues(char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

// The bytes that a character with this first byte has; 0 if none begins so.
size_t length_of(unsigned char first) {
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first < 0xe0) {
        return 2;
    }
    if (first >= 0xe0 && first < 0xf0) {
        return 3;
    }
    return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

// Reads one character, and says how many bytes it took.
char32_t character_at(std::string_view text, size_t at, size_t & n) {
    constexpr char32_t k_least[] = {0, 0, 0x80, 0x800, 0x10000};
    const auto first = static_cast<unsigned char>(text[at]);
    n = length_of(first);
    if (n == 1) {
        return first;
    }
    char32_t c = n == 0 ? 0 : first & (0x7fU >> n);
    for (size_t i = 1; i < n; ++i) {
        if (at + i >= text.size() || !continues(text[at + i])) {
            n = 0;
            break;
        }
        c = (c << 6U) | (static_cast<unsigned char>(text[at + i]) & 0x3fU);
    }
    if (n == 0 || c < k_least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        n = 1;
        return k_no_character;
    }
    return c;
}

char32_t lower_of(char32_t c) {
    const auto runs = lower_runs();
    const auto next = std::upper_bound(runs.begin(), runs.end(), c,
                                       [](char32_t value, const lower_run & run) { return value < run.first; });
    if (next == runs.begin()) {
        return c;
    }
    const lower_run & run = *(next - 1);
    const bool hit = c <= run.last && (c - run.first) % static_cast<char32_t>(run.step) == 0;
    return hit ? static_cast<char32_t>(static_cast<int64_t>(c) + run.add) : c;
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
    std::u32string result;
    result.reserve(text.size());
    size_t n = 0;
    for (size_t at = 0; at < text.size(); at += n) {
        result += character_at(text, at, n);
    }
    return result;
}

std::string encode_utf8(std::u32string_view text) {
    std::string result;
    for (const char32_t c : text) {
        if (c < 0x80) {
            result += static_cast<char>(c);
            continue;
        }
        const int n_more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        constexpr unsigned k_marks[] = {0, 0xc0, 0xe0, 0xf0};
        result += static_cast<char>(k_marks[n_more] | (c >> (6 * n_more)));
        for (int i = n_more - 1; i >= 0; --i) {
            result += static_cast<char>(0x80U | ((c >> (6 * i)) & 0x3fU));
        }
    }
    return result;
}

bool is_blank(char32_t c) {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_word(char32_t c) {
    const auto ranges = word_ranges();
    const auto next = std::upper_bound(ranges.begin(), ranges.end(), c,
                                       [](char32_t value, const code_range & range) { return value < range.first; });
    return next != ranges.begin() && c <= (next - 1)->last;
}

int digit_of(char32_t c) {
    const auto zeros = decimal_zeros();
    const auto next = std::upper_bound(zeros.begin(), zeros.end(), c);
    return next != zeros.begin() && c - *(next - 1) < 10 ? static_cast<int>(c - *(next - 1)) : -1;
}

std::u32string lower_case(std::u32string_view text) {
    std::u32string result;
    result.reserve(text.size());
    for (const char32_t c : text) {
        if (c == 0x130) {  // the only one that becomes two
            result += U"i\u0307";
        } else {
            result += lower_of(c);
        }
    }
    return result;
}

std::u32string_view strip_blanks(std::u32string_view text) {
    while (!text.empty() && is_blank(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_blank(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

std::vector<std::u32string> split_at_blanks(std::u32string_view text) {
    std::vector<std::u32string> words;
    bool in_word = false;
    for (const char32_t c : text) {
        if (is_blank(c)) {
            in_word = false;
            continue;
        }
        if (!in_word) {
            words.emplace_back();
            in_word = true;
        }
        words.back() += c;
    }
    return words;
}

std::vector<std::u32string> digit_runs(std::u32string_view text) {
    std::vector<std::u32string> runs;
    bool in_run = false;
    for (const char32_t c : text) {
        const bool digit = digit_of(c) >= 0;
        if (digit && !in_run) {
            runs.emplace_back();
        }
        in_run = digit;
        if (digit) {
            runs.back() += c;
        }
    }
    return runs;
}

}  // namespace tmx
