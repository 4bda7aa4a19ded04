#include "prompts.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>

#include "runtime/failure.h"

namespace tmx {
namespace {

// splitmix64: small, seedable, and the same on every platform, unlike the standard distributions.
class random_source {
  public:
    explicit random_source(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        state_ += 0x9e3779b97f4a7c15ULL;
        uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    uint64_t below(uint64_t bound) { return next() % bound; }
    double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  private:
    uint64_t state_;
};

struct draft {
    std::string text;    // the user's message
    std::string prefix;  // how the answer begins
    std::string answer;
};

std::string random_word(random_source & random, int64_t length) {
    static constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    std::string word;
    for (int64_t i = 0; i < length; ++i) {
        word += letters[random.below(sizeof(letters) - 1)];
    }
    return word;
}

draft key_value_draft(int64_t n_pairs, uint64_t seed) {
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

// Words of the texts, in an order and from a place that the seed decides; line breaks stay part of the words.
std::vector<std::string> shuffled_words(const std::vector<std::string> & texts, random_source & random) {
    std::vector<const std::string *> order;
    for (const std::string & text : texts) {
        order.push_back(&text);
    }
    for (size_t i = order.size(); i > 1; --i) {
        std::swap(order[i - 1], order[random.below(i)]);
    }
    std::string all;
    for (const std::string * text : order) {
        all += *text + "\n\n";
    }
    size_t start = random.below(all.size());
    // From the beginning of a paragraph, so that the document does not open in the middle of a sentence.
    start = all.find("\n\n", start);
    if (start != std::string::npos) {
        std::rotate(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(start) + 2, all.end());
    }
    std::vector<std::string> words;
    for (size_t at = 0; at < all.size();) {
        const size_t gap = std::min(all.find_first_of(" \n\t", at), all.size());
        const size_t next = std::min(all.find_first_not_of(" \n\t\f\r", gap), all.size());
        words.push_back(all.substr(at, next - at));
        at = next;
    }
    return words;
}

std::string join(const std::vector<std::string> & words, int64_t begin, int64_t end) {
    std::string text;
    for (int64_t i = begin; i < end; ++i) {
        text += words[static_cast<size_t>(i) % words.size()];
    }
    return text;
}

draft needle_draft(int64_t n_words, uint64_t seed, const std::vector<std::string> & texts) {
    random_source random(seed);
    static constexpr const char * cities[] = {"Lisbon", "Oslo", "Quito", "Hanoi", "Tunis", "Riga", "Lima", "Kyoto"};
    const std::string city = cities[random.below(std::size(cities))];
    const std::string number = std::to_string(1000000 + random.below(9000000));
    const double depth = random.unit();
    const std::vector<std::string> words = shuffled_words(texts, random);
    // At the end of a sentence, so that the needle stands between whole sentences.
    auto at = static_cast<int64_t>(depth * static_cast<double>(n_words));
    while (at > 0 && words[static_cast<size_t>(at - 1) % words.size()].find('.') == std::string::npos) {
        --at;
    }
    std::string text =
        "A special magic number is hidden in the following text. Memorise it; you will be asked for it.\n\n";
    text += join(words, 0, at);
    text += "One of the special magic numbers for " + city + " is: " + number + ". ";
    text += join(words, at, n_words);
    text += "\n\nWhat is the special magic number for " + city + " mentioned in the text?";
    return {text, "The special magic number for " + city + " mentioned in the text is", number};
}

draft question_draft(int64_t n_words, uint64_t seed, const std::vector<std::string> & texts) {
    random_source random(seed);
    static constexpr const char * questions[] = {
        "Summarise the text above in three sentences.",
        "What does the text above say about warranty?",
        "Who is the text above written for, and what must they do?",
        "List the main conditions that the text above sets.",
        "What does the text above allow its readers to do with copies?",
        "What happens, according to the text above, to somebody who breaks its terms?",
        "Which words does the text above define, and what do they mean?",
    };
    const std::string asked = questions[random.below(std::size(questions))];
    const std::vector<std::string> words = shuffled_words(texts, random);
    return {"Read the following text.\n\n" + join(words, 0, n_words) + "\n\n" + asked, "", ""};
}

}  // namespace

const char * name_of(prompt_kind kind) {
    switch (kind) {
        case prompt_kind::key_value:
            return "key_value";
        case prompt_kind::needle:
            return "needle";
        case prompt_kind::question:
            return "question";
    }
    return "?";
}

std::vector<std::string> read_texts(const std::string & folder, const std::vector<std::string> & files) {
    std::vector<std::string> texts;
    for (const std::string & file : files) {
        const std::string path = folder + "/" + file;
        std::ifstream in(path, std::ios::binary);
        if (!in) {
            throw failure("cannot read " + path +
                          "; name a folder with texts by --texts, and its files by --text-files");
        }
        texts.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
    return texts;
}

built_prompt build_prompt(const model & m, prompt_kind kind, int64_t n_tokens, uint64_t seed,
                          const std::vector<std::string> & texts) {
    const auto draft_of = [&](int64_t n_units) {
        switch (kind) {
            case prompt_kind::key_value:
                return key_value_draft(n_units, seed);
            case prompt_kind::needle:
                return needle_draft(n_units, seed, texts);
            case prompt_kind::question:
                return question_draft(n_units, seed, texts);
        }
        return draft{};
    };
    const auto tokens_of = [&](const draft & d) {
        std::vector<token_id> ids = m.tokenise_prompt(d.text).ids;
        const std::vector<token_id> prefix = m.tokenise(d.prefix);
        ids.insert(ids.end(), prefix.begin(), prefix.end());
        return ids;
    };
    // A unit (a word with its blanks, or a line of JSON) is at least one token, so n_tokens units are too many.
    int64_t fits = 1;
    int64_t too_many = n_tokens + 1;
    if (static_cast<int64_t>(tokens_of(draft_of(fits)).size()) > n_tokens) {
        throw failure("a " + std::string(name_of(kind)) + " prompt needs more than " + std::to_string(n_tokens) +
                      " tokens");
    }
    while (too_many - fits > 1) {
        const int64_t middle = fits + (too_many - fits) / 2;
        const bool good = static_cast<int64_t>(tokens_of(draft_of(middle)).size()) <= n_tokens;
        (good ? fits : too_many) = middle;
    }
    const draft chosen = draft_of(fits);
    return {tokens_of(chosen), chosen.answer};
}

}  // namespace tmx
