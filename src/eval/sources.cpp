#include "eval/sources.h"

#include <set>

#include "eval/tasks/sentences.h"
#include "measure/random_source.h"
#include "prompts/text_source.h"

namespace tmx {
namespace {

constexpr const char * k_onsets[] = {"b", "br", "c",  "cl", "d", "dr", "f",  "fl", "g", "gr", "h", "j", "k", "l", "m",
                                     "n", "p",  "pl", "qu", "r", "s",  "sh", "st", "t", "tr", "v", "w", "y", "z", "th"};
constexpr const char * k_vowels[] = {"a", "e", "i", "o", "u", "ai", "ea", "oo"};
constexpr const char * k_adjective_ends[] = {"ful", "ish", "ous", "less", "ic", "al"};
constexpr const char * k_noun_ends[] = {"ment", "ness", "er", "ton", "age", "ock"};

template <size_t n>
std::vector<std::string> made_words(uint64_t seed, size_t n_words, const char * const (&ends)[n]) {
    random_source random(seed);
    std::set<std::string> taken;
    std::vector<std::string> words;
    while (words.size() < n_words) {
        std::string word;
        for (uint64_t i = 1 + random.below(2); i > 0; --i) {
            word += random.one_of(k_onsets);
            word += random.one_of(k_vowels);
        }
        word += std::string(random.one_of(k_onsets)).substr(0, 1) + random.one_of(ends);
        if (taken.insert(word).second) {
            words.push_back(word);
        }
    }
    return words;
}

}  // namespace

eval_sources builtin_sources() {
    eval_sources sources;
    sources.essay = collapse_blanks(make_prose(1, 100'000).join(0, 100'000));
    sources.essay_name = "made prose";
    sources.adjectives = made_words(1, 800, k_adjective_ends);
    sources.nouns = made_words(2, 4000, k_noun_ends);
    sources.words = sources.nouns;
    sources.words_name = "made words";
    return sources;
}

}  // namespace tmx
