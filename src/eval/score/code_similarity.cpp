#include "eval/score/code_similarity.h"

#include <algorithm>
#include <cmath>

#include "eval/score/characters.h"
#include "eval/score/matching_characters.h"

namespace tmx {
namespace {

// Each in the order in which its package rounds.
double ratio_of(std::u32string_view a, std::u32string_view b, code_rule rule) {
    const auto n_both = static_cast<double>(a.size() + b.size());
    if (rule == code_rule::difflib) {
        return 2.0 * static_cast<double>(matching_by_blocks(a, b)) / n_both;
    }
    return 1.0 - (n_both - 2.0 * static_cast<double>(longest_common(a, b))) / n_both;
}

}  // namespace

const char * name_of(code_rule rule) {
    return rule == code_rule::difflib ? "difflib" : "lev";
}

std::string first_code_line(std::string_view prediction) {
    size_t at = std::min(prediction.find_first_not_of('\n'), prediction.size());
    while (at <= prediction.size()) {
        const size_t end = std::min(prediction.find('\n', at), prediction.size());
        const std::string_view line = prediction.substr(at, end - at);
        if (line.find_first_of("`#") == std::string_view::npos && line.find("//") == std::string_view::npos) {
            return std::string(line);
        }
        at = end + 1;
    }
    return "";
}

double code_similarity(std::string_view prediction, std::string_view answer, code_rule rule) {
    const std::u32string said = decode_utf8(first_code_line(prediction));
    const std::u32string right = decode_utf8(answer);
    if (said == right) {
        return 1;
    }
    if (said.empty() || right.empty()) {
        return 0;
    }
    return std::nearbyint(100 * ratio_of(said, right, rule)) / 100;
}

}  // namespace tmx
