// eval/sources.h -- texts and word lists that tasks are made of, and the folder of official files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eval/score/code_similarity.h"

namespace tmx {

struct eval_sources {
    std::string data;  // folder with official files as their authors lay them out; "": none

    std::string essay;       // one long English text, white space collapsed to single blanks
    std::string essay_name;  // where it came from, for reports: "made prose", "jargon-text"

    std::vector<std::string> adjectives;  // lower case, distinct, no spaces
    std::vector<std::string> nouns;
    std::vector<std::string> words;  // a large list of distinct words
    std::string words_name;          // where these lists came from

    code_rule code = code_rule::difflib;  // how LongBench's lines of code are compared

    // What problems of GSM-Infinite made here take, in turn; beyond ten small models are near zero. Not empty.
    std::vector<int64_t> operations = {2, 3, 4, 5, 6, 8, 10};
};

// What the user chose; "" for whatever this program ships.
struct source_options {
    std::string data;   // the folder of official files
    std::string essay;  // a text file, a folder of them (*.txt), or RULER's PaulGrahamEssays.json
    // A folder of word lists (those of the package wonderwords, or WordNet's index.adj, index.noun, index.verb), or one
    // file: RULER's english_words.json, or a word a line, which becomes the large list only.
    std::string words;
    code_rule code = code_rule::difflib;
    std::vector<int64_t> operations = eval_sources().operations;
};

// What this program ships: made prose, made words. Nothing is read.
eval_sources builtin_sources();

// ERRORS failure: a file or folder is missing or holds nothing of use; says which.
eval_sources read_sources(const source_options & options);

}  // namespace tmx
