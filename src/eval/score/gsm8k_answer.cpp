#include "eval/score/gsm8k_answer.h"

#include <algorithm>

#include "eval/score/numbers.h"

namespace tmx {
namespace {

constexpr std::string_view k_answer_mark = "#### ";
constexpr std::string_view k_of_number = "0123456789.,";

std::string_view before_next_question(std::string_view text) {
    return text.substr(0, text.find("Question:"));
}

// Without dollars, and without a "." or "," that belongs to the sentence.
std::optional<std::string> number_of(std::string_view text) {
    std::string bare(text);
    std::erase(bare, '$');
    std::erase(bare, ',');
    const size_t end = bare.find_last_not_of('.');
    return plain_decimal(bare.substr(0, end + 1));
}

}  // namespace

std::optional<std::string> gsm8k_gold(std::string_view answer) {
    const size_t at = answer.rfind(k_answer_mark);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view number = answer.substr(at + k_answer_mark.size());
    number = number.substr(0, number.find_last_not_of(" \t\r\n") + 1);
    return number_of(number);
}

std::optional<std::string> gsm8k_strict(std::string_view text) {
    text = before_next_question(text);
    for (size_t at = text.find(k_answer_mark); at != std::string_view::npos; at = text.find(k_answer_mark, at + 1)) {
        const size_t begin = at + k_answer_mark.size();
        const size_t digits = begin + (begin < text.size() && text[begin] == '-' ? 1 : 0);
        const size_t end = std::min(text.find_first_not_of(k_of_number, digits), text.size());
        if (end > digits) {
            return number_of(text.substr(begin, end - begin));
        }
    }
    return std::nullopt;
}

std::optional<std::string> gsm8k_flexible(std::string_view text) {
    text = before_next_question(text);
    std::optional<std::string> last;
    constexpr std::string_view k_of_price = "$0123456789.,";
    for (size_t at = text.find_first_of(k_of_price); at != std::string_view::npos;
         at = text.find_first_of(k_of_price, at)) {
        const size_t end = std::min(text.find_first_not_of(k_of_price, at), text.size());
        const size_t begin = at - (at > 0 && text[at - 1] == '-' ? 1 : 0);
        if (std::optional<std::string> number = number_of(text.substr(begin, end - begin))) {
            last = number;
        }
        at = end;
    }
    return last;
}

}  // namespace tmx
