#include "eval/sources.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "eval/tasks/sentences.h"
#include "measure/random_source.h"
#include "prompts/text_source.h"
#include "runtime/failure.h"

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

namespace fs = std::filesystem;

std::string read_text(const fs::path & path) {
    std::ifstream in;
    if (fs::is_regular_file(path)) {  // opening a pipe would wait for its writer
        in.open(path, std::ios::binary);
    }
    if (!in.is_open()) {
        throw failure("cannot read " + path.string());
    }
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

nlohmann::json read_json(const fs::path & path) {
    try {
        return nlohmann::json::parse(read_text(path));
    } catch (const nlohmann::json::exception & error) {
        throw failure(path.string() + ": " + error.what());
    }
}

std::string read_essay(const fs::path & path) {
    std::string text;
    if (fs::is_directory(path)) {
        std::vector<fs::path> files;
        for (const auto & entry : fs::directory_iterator(path)) {
            if (entry.path().extension() == ".txt") {
                files.push_back(entry.path());
            }
        }
        std::sort(files.begin(), files.end());
        for (const fs::path & file : files) {
            text += read_text(file) + "\n";
        }
    } else if (path.extension() == ".json") {
        const nlohmann::json essays = read_json(path);
        if (!essays.contains("text") || !essays["text"].is_string()) {
            throw failure(path.string() + " has no \"text\"");
        }
        text = essays["text"].get<std::string>();
    } else {
        text = read_text(path);
    }
    text = collapse_blanks(text);
    if (text.empty()) {
        throw failure(path.string() + " has no text (of a folder, files named *.txt are read)");
    }
    return text;
}

// Words of 4 to 10 small letters, which stand first in their lines, sorted. Other lines (WordNet's licence, lemmas of
// several words) are left out.
std::vector<std::string> first_words(const std::string & text) {
    std::set<std::string> words;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const size_t word_end = std::min(text.find_first_of(" \t\r", at), end);
        const std::string word = text.substr(at, word_end - at);
        const bool small = std::all_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
        if (small && word.size() >= 4 && word.size() <= 10) {
            words.insert(word);
        }
        at = end + 1;
    }
    return {words.begin(), words.end()};
}

std::vector<std::string> words_of_json(const fs::path & path) {
    std::set<std::string> words;
    for (const nlohmann::json & word : read_json(path)) {
        if (!word.is_string()) {
            throw failure(path.string() + " holds something that is no word: " + word.dump().substr(0, 40));
        }
        words.insert(word.get<std::string>());
    }
    return {words.begin(), words.end()};
}

void read_word_folder(const fs::path & folder, eval_sources & sources) {
    constexpr const char * k_names[][3] = {{"adjectivelist.txt", "nounlist.txt", "verblist.txt"},
                                           {"index.adj", "index.noun", "index.verb"}};
    for (const auto & names : k_names) {
        if (!fs::exists(folder / names[0])) {
            continue;
        }
        sources.adjectives = first_words(read_text(folder / names[0]));
        sources.nouns = first_words(read_text(folder / names[1]));
        std::set<std::string> all(sources.adjectives.begin(), sources.adjectives.end());
        all.insert(sources.nouns.begin(), sources.nouns.end());
        const std::vector<std::string> verbs = first_words(read_text(folder / names[2]));
        all.insert(verbs.begin(), verbs.end());
        sources.words.assign(all.begin(), all.end());
        return;
    }
    throw failure(folder.string() + " has neither adjectivelist.txt (wonderwords) nor index.adj (WordNet)");
}

}  // namespace

eval_sources read_sources(const source_options & options) {
    eval_sources sources = builtin_sources();
    sources.data = options.data;
    sources.code = options.code;
    sources.operations = options.operations;
    if (!options.data.empty() && !fs::is_directory(options.data)) {
        throw failure(options.data + " is no folder; it should hold official files, each suite in its own");
    }
    if (!options.essay.empty()) {
        sources.essay = read_essay(options.essay);
        sources.essay_name = fs::path(options.essay).filename().string();
    }
    if (options.words.empty()) {
        return sources;
    }
    const fs::path words(options.words);
    if (fs::is_directory(words)) {
        read_word_folder(words, sources);
    } else {
        sources.words = words.extension() == ".json" ? words_of_json(words) : first_words(read_text(words));
    }
    if (sources.words.empty() || sources.adjectives.empty() || sources.nouns.empty()) {
        throw failure(options.words + " has no words of 4 to 10 small letters, one a line");
    }
    sources.words_name = words.filename().string();
    return sources;
}

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
