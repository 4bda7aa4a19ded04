#include "runtime/answer_rows.h"

#include <algorithm>
#include <iterator>

namespace tmx {

logit_rows answer_rows(backend & b, const model & m, const arm & a, session & s, std::span<const token_id> prompt,
                       token_id first, int64_t n_following, std::vector<token_id> & continuation) {
    logit_rows rows;
    rows.emplace_back(s.last_logits().begin(), s.last_logits().end());
    if (continuation.empty()) {
        // Past an end token too: every prompt then gives the same number of positions.
        token_id next = first;
        for (int64_t i = 0; i < n_following; ++i) {
            continuation.push_back(next);
            s.decode(next);
            next = argmax(s.last_logits());
        }
        // A window's cache may have given away what the first tokens behind the prompt see.
        if (!m.facts().windows.empty() || !s.roll_back(static_cast<int64_t>(prompt.size()))) {
            static_cast<void>(prefill_arm(b, a, s, prompt));
        }
    }
    logit_rows forced = s.force(continuation);
    std::move(forced.begin(), forced.end(), std::back_inserter(rows));
    return rows;
}

}  // namespace tmx
