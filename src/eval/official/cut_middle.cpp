#include "eval/official/cut_middle.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "eval/score/characters.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

// Of a prompt without text: what the template, or BOS alone, takes.
int64_t tokens_around(eval_example e, bool chat_template, const eval_tokenizer & tokens) {
    e.turns.back().text.clear();
    e.chat_template = chat_template;
    e.answer_prefix = chat_template ? e.answer_prefix : "";
    return tokens.count_prompt(e);
}

std::string text_of(const std::vector<token_id> & ids, size_t begin, size_t end, const eval_tokenizer & tokens) {
    const std::vector<token_id> part(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                     ids.begin() + static_cast<std::ptrdiff_t>(end));
    // A character that was cut through is replaced, as Python's decoding does.
    return encode_utf8(decode_utf8(tokens.text(part)));
}

}  // namespace

void cut_middle(eval_example & e, int64_t most, const example_request & request) {
    const eval_tokenizer & tokens = request.tokens;
    const int64_t n_bos = tokens_around(e, false, tokens);
    int64_t limit = most < 0 ? std::numeric_limits<int64_t>::max() : most;
    if (request.budget > 0) {
        limit = std::min(limit, request.budget - e.max_new_tokens - (tokens_around(e, true, tokens) - n_bos));
    }
    const std::string whole = e.turns.back().text;
    const size_t behind = whole.size() - std::min(e.question_at, whole.size());
    const std::vector<token_id> ids = tokens.tokenise(whole);
    while (true) {
        if (static_cast<int64_t>(ids.size()) + n_bos > limit) {
            const int64_t half = limit / 2;
            if (half <= n_bos) {
                throw failure(
                    fmt::format("{}/{} {}: a budget of {} tokens leaves no room for a prompt beside {} of answer",
                                e.suite, e.task, e.id, request.budget, e.max_new_tokens));
            }
            e.turns.back().text = text_of(ids, 0, static_cast<size_t>(half - n_bos), tokens) +
                                  text_of(ids, ids.size() - static_cast<size_t>(half), ids.size(), tokens);
            e.question_at = e.turns.back().text.size() - std::min(behind, e.turns.back().text.size());
            e.meta["cut"] = "yes";
        }
        const int64_t over = request.budget > 0 ? tokens.count_prompt(e) + e.max_new_tokens - request.budget : 0;
        if (over <= 0) {
            return;
        }
        limit = std::min(limit, static_cast<int64_t>(ids.size()) + n_bos) - over;
    }
}

}  // namespace tmx
