#include "eval/score/answer_match.h"

#include "eval/score/characters.h"

namespace tmx {
namespace {

size_t count_found(std::string_view text, const std::vector<std::string> & answers) {
    const std::u32string lower = lower_case(decode_utf8(clean_answer(text)));
    size_t n = 0;
    for (const std::string & answer : answers) {
        n += lower.find(lower_case(decode_utf8(answer))) != std::u32string::npos;
    }
    return n;
}

}  // namespace

std::string clean_answer(std::string_view text) {
    std::u32string whole = decode_utf8(text);
    std::u32string inner(strip_blanks(whole));
    for (char32_t & c : inner) {
        c = c < 0x20 ? U'\n' : c;
    }
    return encode_utf8(strip_blanks(inner));
}

double share_of_answers(std::string_view text, const std::vector<std::string> & answers) {
    return static_cast<double>(count_found(text, answers)) / static_cast<double>(answers.size());
}

double any_answer(std::string_view text, const std::vector<std::string> & answers) {
    return count_found(text, answers) > 0 ? 1 : 0;
}

}  // namespace tmx
