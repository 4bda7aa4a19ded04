// A tokeniser for tests of tasks: a token is a run of letters, of digits, or another character; blanks go with what
// follows. It knows no model.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "eval/task.h"

namespace tmx {

class word_tokenizer : public eval_tokenizer {
  public:
    int64_t count_prompt(const eval_example & e) const override {
        int64_t n = 1;  // BOS
        for (const chat_turn & turn : e.turns) {
            n += count(turn.text) + (e.chat_template ? 4 : 0);  // the template around it
        }
        return n + count(e.answer_prefix);
    }
    std::vector<token_id> tokenise(std::string_view plain) const override {
        std::vector<token_id> tokens;
        for (const std::string & piece : split(plain)) {
            const auto known = std::find(pieces_.begin(), pieces_.end(), piece);
            tokens.push_back(static_cast<token_id>(known - pieces_.begin()));
            if (known == pieces_.end()) {
                pieces_.push_back(piece);
            }
        }
        return tokens;
    }
    std::string text(const std::vector<token_id> & tokens) const override {
        std::string result;
        for (const token_id token : tokens) {
            result += pieces_[static_cast<size_t>(token)];
        }
        return result;
    }

  private:
    mutable std::vector<std::string> pieces_;

    static int kind(char c) {
        const auto u = static_cast<unsigned char>(c);
        return std::isalpha(u) ? 1 : std::isdigit(u) ? 2 : 0;
    }
    static std::vector<std::string> split(std::string_view text) {
        std::vector<std::string> pieces;
        for (size_t at = 0; at < text.size();) {
            size_t end = at + (text[at] == ' ' && at + 1 < text.size() ? 1 : 0);
            const int first = kind(text[end]);
            for (++end; end < text.size() && first != 0 && kind(text[end]) == first; ++end) {
            }
            pieces.emplace_back(text.substr(at, end - at));
            at = end;
        }
        return pieces;
    }
    static int64_t count(std::string_view text) { return static_cast<int64_t>(split(text).size()); }
};

}  // namespace tmx
