// eval/score/characters.h -- text as Python sees it: characters of Unicode, lower case, blanks, words, digits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tmx {

// A byte that is no UTF-8 becomes U+FFFD.
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);

bool is_blank(char32_t c);  // what str.split() splits at
bool is_word(char32_t c);   // \w: letters, digits, numbers and "_"
int digit_of(char32_t c);   // \d: 0 to 9, of any script; -1: none

// One character for one, but for U+0130. The sigma at a word's end is not treated apart, as str.lower() does.
std::u32string lower_case(std::u32string_view text);

std::u32string_view strip_blanks(std::u32string_view text);
std::vector<std::u32string> split_at_blanks(std::u32string_view text);

// All runs of digits (\d+), in order.
std::vector<std::u32string> digit_runs(std::u32string_view text);

}  // namespace tmx
