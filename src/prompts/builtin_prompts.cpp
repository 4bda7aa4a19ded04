#include "prompts/builtin_prompts.h"

#include <algorithm>
#include <functional>
#include <sstream>

#include "prompts/text_source.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

struct draft {
    std::string text;    // the user's message
    std::string prefix;  // how the answer begins
    std::string answer;
};

// Makes the draft with that many units of filling.
using drafter = std::function<draft(int64_t n_units)>;

std::string random_word(random_source & random, int64_t length) {
    static constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::string word;
    for (int64_t i = 0; i < length; ++i) {
        word += letters[random.below(sizeof(letters) - 1)];
    }
    return word;
}

draft kv_draft(int64_t n_pairs, uint64_t seed) {
    random_source random(seed);
    const double depth = random.unit();
    const auto wanted = static_cast<int64_t>(depth * static_cast<double>(std::max<int64_t>(n_pairs, 1)));
    std::string key;
    std::string value;
    std::ostringstream text;
    text << "Extract the value of one key from the JSON object below.\n\n{";
    for (int64_t i = 0; i < n_pairs; ++i) {
        const std::string k = random_word(random, 8);
        const std::string v = random_word(random, 8);
        if (i == wanted) {
            key = k;
            value = v;
        }
        text << (i == 0 ? "\n" : ",\n") << "  \"" << k << "\": \"" << v << "\"";
    }
    text << "\n}\n\nWhat is the value of the key \"" << key << "\" in the JSON object above?";
    return {text.str(), "\"" + key + "\": \"", value};
}

draft needle_draft(int64_t n_words, uint64_t seed, const document & text_of) {
    random_source random(seed);
    static constexpr const char * cities[] = {"Lisbon", "Oslo", "Quito", "Hanoi", "Tunis", "Riga", "Lima", "Kyoto"};
    const std::string city = random.one_of(cities);
    const std::string number = std::to_string(1000000 + random.below(9000000));
    const double depth = random.unit();
    // At the end of a sentence, so that the needle stands between whole sentences.
    const auto & words = text_of.words;
    auto at = static_cast<int64_t>(depth * static_cast<double>(n_words));
    while (at > 0 && words[static_cast<size_t>(at - 1) % words.size()].find('.') == std::string::npos) {
        --at;
    }
    std::string text =
        "A special magic number is hidden in the following text. Memorise it; you will be asked for it.\n\n";
    text += text_of.join(0, at);
    text += "One of the special magic numbers for " + city + " is: " + number + ". ";
    text += text_of.join(at, n_words);
    text += "\n\nWhat is the special magic number for " + city + " mentioned in the text?";
    return {text, "The special magic number for " + city + " mentioned in the text is", " " + number};
}

draft doc_draft(int64_t n_words, uint64_t seed, const document & text_of) {
    random_source random(seed);
    static constexpr const char * about_any_text[] = {
        "Summarise the text above in three sentences.",
        "Who is the text above written for, and what must they do?",
        "List the main points that the text above makes.",
        "What does the text above say about its own purpose?",
        "Which words does the text above define or explain, and what do they mean?",
    };
    const std::string open_question = random.one_of(about_any_text);
    const double depth = random.unit();
    const bool about_a_fact = random.below(4) != 0;
    const std::string text = "Read the following text.\n\n" + text_of.join(0, n_words) + "\n\n";
    int64_t n_facts = 0;
    while (n_facts < static_cast<int64_t>(text_of.facts.size()) &&
           text_of.facts[static_cast<size_t>(n_facts)].word <= n_words) {
        ++n_facts;
    }
    if (!about_a_fact || n_facts == 0) {
        return {text + open_question, "", ""};
    }
    const stated_fact & fact = text_of.facts[static_cast<size_t>(depth * static_cast<double>(n_facts))];
    return {text + fact.question, fact.opening, " " + fact.answer};
}

drafter drafter_of(prompt_kind kind, int64_t n_tokens, uint64_t seed, const std::vector<std::string> & texts) {
    if (kind == prompt_kind::kv) {
        return [seed](int64_t n) { return kv_draft(n, seed); };
    }
    // A word is at least one token, so n_tokens words are enough.
    const document text = texts.empty() ? make_prose(seed, n_tokens + 1) : shuffle_texts(seed, texts);
    if (kind == prompt_kind::needle) {
        return [seed, text](int64_t n) { return needle_draft(n, seed, text); };
    }
    return [seed, text](int64_t n) { return doc_draft(n, seed, text); };
}

std::vector<token_id> tokens_of(const model & m, const draft & d) {
    std::vector<token_id> ids = m.tokenise_prompt(d.text).ids;
    const std::vector<token_id> prefix = m.tokenise(d.prefix);
    ids.insert(ids.end(), prefix.begin(), prefix.end());
    return ids;
}

// First token of the answer behind the prefix, if the prefix keeps its tokens when the answer follows.
token_id target_of(const model & m, const draft & d) {
    if (d.answer.empty()) {
        return -1;
    }
    const std::vector<token_id> prefix = m.tokenise(d.prefix);
    const std::vector<token_id> whole = m.tokenise(d.prefix + d.answer);
    const bool kept = whole.size() > prefix.size() && std::equal(prefix.begin(), prefix.end(), whole.begin());
    return kept ? whole[prefix.size()] : m.tokenise(d.answer).front();
}

}  // namespace

const char * name_of(prompt_kind kind) {
    switch (kind) {
        case prompt_kind::kv:
            return "kv";
        case prompt_kind::needle:
            return "needle";
        case prompt_kind::doc:
            return "doc";
    }
    return "?";
}

prompt_kind parse_prompt_kind(const std::string & text) {
    for (const prompt_kind kind : k_all_kinds) {
        if (text == name_of(kind)) {
            return kind;
        }
    }
    throw failure("no built-in prompts '" + text + "'; there are kv, needle and doc");
}

built_prompt build_prompt(const model & m, prompt_kind kind, int64_t n_tokens, uint64_t seed,
                          const std::vector<std::string> & texts) {
    const drafter draft_of = drafter_of(kind, n_tokens, seed, texts);
    // A word with its blanks is at least one token, a line of JSON at least four, so these are too many.
    int64_t fits = 1;
    int64_t too_many = (kind == prompt_kind::kv ? n_tokens / 4 : n_tokens) + 1;
    if (static_cast<int64_t>(tokens_of(m, draft_of(fits)).size()) > n_tokens) {
        throw failure("a " + std::string(name_of(kind)) + " prompt needs more than " + std::to_string(n_tokens) +
                      " tokens");
    }
    while (too_many - fits > 1) {
        const int64_t middle = fits + (too_many - fits) / 2;
        const bool good = static_cast<int64_t>(tokens_of(m, draft_of(middle)).size()) <= n_tokens;
        (good ? fits : too_many) = middle;
    }
    const draft chosen = draft_of(fits);
    return {tokens_of(m, chosen), chosen.answer, target_of(m, chosen)};
}

}  // namespace tmx
