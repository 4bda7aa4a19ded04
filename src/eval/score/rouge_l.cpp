#include "eval/score/rouge_l.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "eval/score/characters.h"

namespace tmx {
namespace {

using word_id = int32_t;
using piece = std::vector<word_id>;

// Numbers for words, so that tables compare integers.
class word_numbers {
  public:
    word_id of(const std::u32string & word) {
        return numbers_.emplace(word, static_cast<word_id>(numbers_.size())).first->second;
    }

  private:
    std::map<std::u32string, word_id> numbers_;
};

// The pieces between dots. One that holds only blanks is a piece with the empty word.
std::vector<piece> pieces_of(std::string_view text, word_numbers & numbers) {
    const std::u32string whole = decode_utf8(text);
    std::vector<piece> pieces;
    for (size_t at = 0; at <= whole.size();) {
        const size_t dot = std::min(whole.find(U'.', at), whole.size());
        if (dot > at) {
            std::vector<std::u32string> words = split_at_blanks(std::u32string_view(whole).substr(at, dot - at));
            if (words.empty()) {
                words.emplace_back();
            }
            pieces.emplace_back();
            for (const std::u32string & word : words) {
                pieces.back().push_back(numbers.of(word));
            }
        }
        at = dot + 1;
    }
    return pieces;
}

size_t count_different(const std::vector<piece> & pieces) {
    std::set<word_id> words;
    for (const piece & p : pieces) {
        words.insert(p.begin(), p.end());
    }
    return words.size();
}

// Adds the words of one longest common subsequence; says how many steps its walk took.
size_t add_common(const piece & answer, const piece & prediction, std::set<word_id> & common) {
    const size_t width = prediction.size() + 1;
    std::vector<int32_t> longest((answer.size() + 1) * width);
    for (size_t i = 1; i <= answer.size(); ++i) {
        for (size_t j = 1; j <= prediction.size(); ++j) {
            const size_t at = i * width + j;
            longest[at] = answer[i - 1] == prediction[j - 1] ? longest[at - width - 1] + 1
                                                             : std::max(longest[at - width], longest[at - 1]);
        }
    }
    size_t n_steps = 0;
    size_t i = answer.size();
    size_t j = prediction.size();
    for (; i > 0 && j > 0; ++n_steps) {
        if (answer[i - 1] == prediction[j - 1]) {
            common.insert(answer[i - 1]);
            --i;
            --j;
        } else if (longest[(i - 1) * width + j] > longest[i * width + j - 1]) {
            --i;
        } else {
            --j;
        }
    }
    return n_steps;
}

}  // namespace

rouge_result rouge_l(std::string_view prediction, std::string_view answer) {
    word_numbers numbers;
    const std::vector<piece> said = pieces_of(prediction, numbers);
    const std::vector<piece> right = pieces_of(answer, numbers);
    rouge_result result;
    if (said.empty() || right.empty()) {
        return result;
    }
    std::set<word_id> common;
    for (const piece & of_answer : right) {
        for (const piece & of_prediction : said) {
            result.longest_walk = std::max(result.longest_walk, add_common(of_answer, of_prediction, common));
        }
    }
    const auto n_common = static_cast<double>(common.size());
    const double recall = n_common / static_cast<double>(count_different(right));
    const double precision = n_common / static_cast<double>(count_different(said));
    result.f = 2 * (precision * recall / (precision + recall + 1e-8));
    return result;
}

}  // namespace tmx
