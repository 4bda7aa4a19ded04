#include "eval/example.h"

#include "measure/hash.h"
#include "trianglemix/geometry.h"

namespace tmx {

const char * name_of(provenance from) {
    switch (from) {
        case provenance::official:
            return "official";
        case provenance::native:
            return "native";
        case provenance::substitute:
            break;
    }
    return "substitute";
}

rendered_example render_example(const model & m, const eval_example & e) {
    const prompt_tokens tokens = m.tokenise_chat(e.turns, e.answer_prefix, !e.chat_template);
    rendered_example rendered;
    rendered.ids = tokens.ids;
    rendered.note = e.chat_template ? tokens.note : "";
    sha256 hash;
    hash.add(tokens.ids.data(), tokens.ids.size() * sizeof(token_id));
    rendered.ids_hash = hash.hex();
    size_t behind = tokens.n_plain_behind;
    if (!e.turns.empty() && e.question_at < e.turns.back().text.size()) {
        behind += e.turns.back().text.size() - e.question_at;
    }
    for (size_t bytes = 0; bytes < behind && rendered.tail_tokens < static_cast<int64_t>(tokens.ids.size());) {
        ++rendered.tail_tokens;
        bytes += m.piece(tokens.ids[tokens.ids.size() - static_cast<size_t>(rendered.tail_tokens)]).size();
    }
    return rendered;
}

double sparse_fraction(int64_t n_tokens) {
    const triangle_shape shape;
    const std::vector<row_segment> rows = resolve_segments(shape, tail_policy::prompt, {{0, n_tokens}, n_tokens}, {});
    int64_t kept = 0;
    for (const row_segment & segment : rows) {
        kept += kept_pairs(segment.kept, segment.rows);
    }
    const int64_t all = causal_pairs({0, n_tokens}, {0, n_tokens});
    return all > 0 ? 1 - static_cast<double>(kept) / static_cast<double>(all) : 0;
}

}  // namespace tmx
