// eval/tasks/haystack.h -- needles, and what they are hidden in: lines of noise, an essay, or other needles.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "eval/sources.h"
#include "measure/random_source.h"

namespace tmx {

enum class haystack : uint8_t { noise, essay, needles };
enum class value_kind : uint8_t { word, number, uuid };
const char * word_for(value_kind kind);

// A sentence that gives a key's value.
struct needle {
    std::string key;
    std::string value;
    value_kind kind = value_kind::number;

    std::string sentence() const;
};

class haystack_maker {
  public:
    // ERRORS failure: the sources lack words, or an essay that is asked for.
    haystack_maker(const eval_sources & sources, haystack kind, value_kind key, value_kind value);

    std::string draw_key(random_source & random) const { return draw(key_, random); }
    std::string draw_value(random_source & random) const { return draw(value_, random); }

    // Sentences of the essay's first `units` words (from its beginning again where it has fewer), or that many lines.
    // fill: decides what is random in it; more units begin like fewer. taken: keys that no line may have.
    std::vector<std::string> pieces(int64_t units, random_source fill, std::set<std::string> taken) const;

    const char * glue() const { return kind_ == haystack::essay ? " " : "\n"; }  // between pieces
    int64_t least_units() const { return kind_ == haystack::essay ? 40 : 2; }
    double tokens_per_unit() const;  // about

  private:
    const eval_sources & sources_;
    haystack kind_;
    value_kind key_;
    value_kind value_;
    std::vector<size_t> word_ends_;  // of the essay's words: byte behind each

    std::string draw(value_kind kind, random_source & random) const;
    std::string essay_words(size_t n) const;
};

// The pieces with each needle before the piece of its number (or behind all). depths: of each needle, share of the text
// before it.
std::string hide_needles(const std::vector<std::string> & pieces, const std::vector<needle> & needles,
                         const std::vector<size_t> & before_piece, const char * glue, std::vector<double> & depths);

extern const char * const k_noise_line;

}  // namespace tmx
