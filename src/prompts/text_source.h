// prompts/text_source.h -- what documents of the built-in prompts are made of: made prose, or the user's texts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "measure/random_source.h"

namespace tmx {

// Something that a made document says about one person, and what can be asked about it.
struct stated_fact {
    int64_t word = 0;      // index of the first word behind the paragraph that states it
    std::string question;  // "How many lanterns did Maria Lopez collect?"
    std::string opening;   // how the answer begins: "Maria Lopez collected"
    std::string answer;    // "417"
};

// Words with the blanks and line breaks behind them.
struct document {
    std::vector<std::string> words;
    std::vector<stated_fact> facts;  // none in the user's texts

    std::string join(int64_t begin, int64_t end) const;  // wraps around at the end
};

// Paragraphs about made-up people, each with a name of its own, at least n_words long. The first words of a longer
// document are those of a shorter one.
document make_prose(uint64_t seed, int64_t n_words);

// The texts one behind the other, in an order and from a paragraph that the seed decides.
// REQUIRES texts not empty.
document shuffle_texts(uint64_t seed, const std::vector<std::string> & texts);

}  // namespace tmx
