// eval/sources.h -- texts and word lists that tasks are made of, and the folder of official files.
#pragma once

#include <string>
#include <vector>

namespace tmx {

struct eval_sources {
    std::string data;  // folder with official files as their authors lay them out; "": none

    std::string essay;       // one long English text, white space collapsed to single blanks
    std::string essay_name;  // where it came from, for reports: "made prose", "jargon-text"

    std::vector<std::string> adjectives;  // lower case, distinct, no spaces
    std::vector<std::string> nouns;
    std::vector<std::string> words;  // a large list of distinct words
    std::string words_name;          // where these lists came from
};

// What this program ships: made prose, made words. Nothing is read.
eval_sources builtin_sources();

}  // namespace tmx
