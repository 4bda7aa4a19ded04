// eval/score/numbers.h -- numbers in answers, as text: any length, and equal if they are written alike.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tmx {

// 0 to 9 of ASCII; digit_of() (characters.h) knows those of every script.
constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// "-0,012.50" -> "-12.5": no sign of plus, leading zeros, commas, zeros behind the point; "-0" is "0". Commas may stand
// anywhere before the point. nullopt: no decimal number, or something is beside it.
std::optional<std::string> plain_decimal(std::string_view text);

// The same, if nothing is left behind the point.
std::optional<std::string> plain_integer(std::string_view text);

// What Python's int() takes: blanks around, a sign, digits of any script with single "_" between them.
std::optional<std::string> python_integer(std::u32string_view text);

// The last number in the text that is a whole one: digits with commas and perhaps ".0" behind them. A "-" belongs to it
// unless something stands right before it, as in "7-4".
std::optional<std::string> last_integer(std::string_view text);

// Without all that a model that reasons wrote before its answer: up to the last "</think>".
std::string_view behind_thinking(std::string_view text);

// What stands in the last "\boxed{...}" with its brackets paired that `accept` takes.
template <class F>
std::optional<std::string> last_boxed(std::string_view text, const F & accept) {
    constexpr std::string_view k_opening = "\\boxed{";
    for (size_t at = text.rfind(k_opening); at != std::string_view::npos;) {
        const size_t begin = at + k_opening.size();
        size_t end = begin;
        for (int depth = 1; end < text.size(); ++end) {
            depth += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0;
            if (depth == 0) {
                if (std::optional<std::string> taken = accept(text.substr(begin, end - begin))) {
                    return taken;
                }
                break;
            }
        }
        at = at == 0 ? std::string_view::npos : text.rfind(k_opening, at - 1);
    }
    return std::nullopt;
}

}  // namespace tmx
