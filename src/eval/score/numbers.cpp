#include "eval/score/numbers.h"

#include "eval/score/characters.h"

namespace tmx {
namespace {

bool is_inside_number(std::string_view text, size_t at) {
    const char c = text[at];
    return is_digit(c) || c == ',' || (c == '.' && at + 1 < text.size() && is_digit(text[at + 1]));
}

bool stands_before_minus(char c) {
    return is_word(static_cast<unsigned char>(c)) || c == ')';
}

std::string with_sign(bool minus, std::string digits) {
    digits.erase(0, digits.find_first_not_of('0'));
    if (digits.empty() || digits.front() == '.') {
        digits.insert(digits.begin(), '0');
    }
    if (minus && digits != "0") {
        digits.insert(digits.begin(), '-');
    }
    return digits;
}

}  // namespace

std::optional<std::string> plain_decimal(std::string_view text) {
    size_t at = 0;
    const bool minus = !text.empty() && text[0] == '-';
    at += !text.empty() && (minus || text[0] == '+') ? 1 : 0;
    std::string digits;
    bool point = false;
    bool any = false;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (is_digit(c)) {
            any = true;
            digits += c;
        } else if (c == '.' && !point) {
            point = true;
            digits += c;
        } else if (c != ',' || point || !any) {
            return std::nullopt;
        }
    }
    if (!any) {
        return std::nullopt;
    }
    if (point) {
        digits.erase(digits.find_last_not_of('0') + 1);
        if (digits.back() == '.') {
            digits.pop_back();
        }
    }
    return with_sign(minus, digits);
}

std::optional<std::string> plain_integer(std::string_view text) {
    std::optional<std::string> number = plain_decimal(text);
    return number && number->find('.') == std::string::npos ? number : std::nullopt;
}

std::optional<std::string> python_integer(std::u32string_view text) {
    text = strip_blanks(text);
    const bool minus = !text.empty() && text[0] == U'-';
    if (minus || (!text.empty() && text[0] == U'+')) {
        text.remove_prefix(1);
    }
    std::string digits;
    bool may_join = false;  // behind a digit, and before the next one
    for (const char32_t c : text) {
        const int digit = digit_of(c);
        if (digit >= 0) {
            digits += static_cast<char>('0' + digit);
            may_join = true;
        } else if (c == U'_' && may_join) {
            may_join = false;
        } else {
            return std::nullopt;
        }
    }
    return may_join ? std::optional(with_sign(minus, digits)) : std::nullopt;
}

std::optional<std::string> last_integer(std::string_view text) {
    std::optional<std::string> last;
    for (size_t at = 0; at < text.size();) {
        if (!is_digit(text[at])) {
            ++at;
            continue;
        }
        size_t end = at;
        while (end < text.size() && is_inside_number(text, end)) {
            ++end;
        }
        const bool minus = at > 0 && text[at - 1] == '-' && (at < 2 || !stands_before_minus(text[at - 2]));
        if (const std::optional<std::string> found = plain_integer(text.substr(at, end - at))) {
            last = with_sign(minus, *found);
        }
        at = end;
    }
    return last;
}

std::string_view behind_thinking(std::string_view text) {
    constexpr std::string_view k_end = "</think>";
    const size_t at = text.rfind(k_end);
    return at == std::string_view::npos ? text : text.substr(at + k_end.size());
}

}  // namespace tmx
