#include "prompts/builtin_prompts.h"

#include <algorithm>
#include <cmath>
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

// Makes the draft of a question with that many units of filling.
using drafter = std::function<draft(int64_t n_units, int64_t question)>;

// Where in the context a question's answer stands, 0 to 1, from where the first one's does: never twice at one place.
double depth_of(double first, int64_t question) {
    constexpr double k_golden = 0.6180339887498949;
    const double depth = first + k_golden * static_cast<double>(question);
    return depth - std::floor(depth);
}

std::string random_word(random_source & random, int64_t length) {
    static constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::string word;
    for (int64_t i = 0; i < length; ++i) {
        word += letters[random.below(sizeof(letters) - 1)];
    }
    return word;
}

draft kv_draft(int64_t n_pairs, uint64_t seed, int64_t question) {
    random_source random(seed);
    const double depth = depth_of(random.unit(), question);
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

struct needle {
    std::string city;
    std::string number;
    int64_t at = 0;  // word that it stands before
};

// One for each question.
std::vector<needle> make_needles(int64_t n_words, uint64_t seed, const std::vector<std::string> & words, int64_t n) {
    static constexpr const char * cities[k_most_questions] = {"Lisbon", "Oslo", "Quito", "Hanoi",
                                                              "Tunis",  "Riga", "Lima",  "Kyoto"};
    random_source random(seed);
    const uint64_t first_city = random.below(std::size(cities));
    const uint64_t first_number = random.below(9000000);
    const double first_depth = random.unit();
    std::vector<needle> needles;
    for (int64_t i = 0; i < n; ++i) {
        const uint64_t number = i == 0 ? first_number : random.below(9000000);
        // At the end of a sentence, so that the needle stands between whole sentences.
        auto at = static_cast<int64_t>(depth_of(first_depth, i) * static_cast<double>(n_words));
        while (at > 0 && words[static_cast<size_t>(at - 1) % words.size()].find('.') == std::string::npos) {
            --at;
        }
        const uint64_t city = (first_city + static_cast<uint64_t>(i)) % std::size(cities);
        needles.push_back({cities[city], std::to_string(1000000 + number), at});
    }
    return needles;
}

draft needle_draft(int64_t n_words, uint64_t seed, const document & text_of, int64_t question, int64_t n_questions) {
    std::vector<needle> needles = make_needles(n_words, seed, text_of.words, n_questions);
    const needle asked = needles[static_cast<size_t>(question)];
    std::stable_sort(needles.begin(), needles.end(), [](const needle & a, const needle & b) { return a.at < b.at; });
    std::string text =
        n_questions == 1
            ? "A special magic number is hidden in the following text. Memorise it; you will be asked for it.\n\n"
            : "Special magic numbers are hidden in the following text. Memorise them; you will be asked for one.\n\n";
    int64_t done = 0;
    for (const needle & each : needles) {
        text += text_of.join(done, each.at);
        text += "One of the special magic numbers for " + each.city + " is: " + each.number + ". ";
        done = each.at;
    }
    text += text_of.join(done, n_words);
    text += "\n\nWhat is the special magic number for " + asked.city + " mentioned in the text?";
    return {text, "The special magic number for " + asked.city + " mentioned in the text is", " " + asked.number};
}

draft doc_draft(int64_t n_words, uint64_t seed, const document & text_of, int64_t question) {
    random_source random(seed);
    static constexpr const char * about_any_text[] = {
        "Summarise the text above in three sentences.",
        "Who is the text above written for, and what must they do?",
        "List the main points that the text above makes.",
        "What does the text above say about its own purpose?",
        "Which words does the text above define or explain, and what do they mean?",
    };
    std::string open_question;
    double depth = 0;
    bool about_a_fact = false;
    for (int64_t i = 0; i <= question; ++i) {
        open_question = random.one_of(about_any_text);
        depth = random.unit();
        about_a_fact = random.below(4) != 0;
    }
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

drafter drafter_of(prompt_kind kind, int64_t n_tokens, uint64_t seed, const std::vector<std::string> & texts,
                   int64_t n_questions) {
    if (kind == prompt_kind::kv) {
        return [seed](int64_t n, int64_t question) { return kv_draft(n, seed, question); };
    }
    // A word is at least one token, so n_tokens words are enough.
    const document text = texts.empty() ? make_prose(seed, n_tokens + 1) : shuffle_texts(seed, texts);
    if (kind == prompt_kind::needle) {
        return [seed, text, n_questions](int64_t n, int64_t question) {
            return needle_draft(n, seed, text, question, n_questions);
        };
    }
    return [seed, text](int64_t n, int64_t question) { return doc_draft(n, seed, text, question); };
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

std::vector<built_prompt> build_prompts(const model & m, prompt_kind kind, int64_t n_tokens, uint64_t seed,
                                        const std::vector<std::string> & texts, int64_t n_questions) {
    const drafter draft_of = drafter_of(kind, n_tokens, seed, texts, n_questions);
    const auto fit = [&](int64_t n_units, int64_t n_asked) {
        for (int64_t question = 0; question < n_asked; ++question) {
            if (static_cast<int64_t>(tokens_of(m, draft_of(n_units, question)).size()) > n_tokens) {
                return false;
            }
        }
        return true;
    };
    // A word with its blanks is at least one token, a line of JSON at least four, so these are too many.
    int64_t fits = 1;
    int64_t too_many = (kind == prompt_kind::kv ? n_tokens / 4 : n_tokens) + 1;
    while (too_many - fits > 1) {
        const int64_t middle = fits + (too_many - fits) / 2;
        (fit(middle, 1) ? fits : too_many) = middle;
    }
    // Other questions may be some tokens longer.
    while (!fit(fits, n_questions)) {
        if (--fits == 0) {
            throw failure("a " + std::string(name_of(kind)) + " prompt needs more than " + std::to_string(n_tokens) +
                          " tokens");
        }
    }
    std::vector<built_prompt> built;
    for (int64_t question = 0; question < n_questions; ++question) {
        const draft chosen = draft_of(fits, question);
        built.push_back({tokens_of(m, chosen), chosen.answer, target_of(m, chosen)});
    }
    return built;
}

}  // namespace tmx
