// eval/example.h -- one question of an evaluation: what the model is given, what a right answer is, and when it stops.
//
// A task makes it (eval/task.h) from texts alone; render_example() makes the token ids that every arm consumes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/chat.h"
#include "runtime/model.h"

namespace tmx {

// Whether a number may be compared with published ones.
enum class provenance : uint8_t {
    official,    // files made by, or shipped with, the official suite
    native,      // made here, by the official construction
    substitute,  // made here, with a stand-in for data that is not ours to ship
};
const char * name_of(provenance from);

struct eval_example {
    std::string suite;  // "ruler"
    std::string task;   // "niah_single_1"
    std::string id;     // unique within task and length_budget, the same in every run: "17"
    provenance from = provenance::native;
    int64_t length_budget = 0;  // tokens that prompt and answer were fitted to; 0: as long as it is

    std::vector<chat_turn> turns;  // the last one is the user's
    bool chat_template = true;     // false: the turns' texts as they are, one behind the other, behind a BOS
    std::string answer_prefix;     // how the model's turn begins; it goes on from there. "": from its beginning
    size_t question_at = 0;        // byte of the last turn's text where the context is over (question, options)

    std::vector<std::string> outputs;  // right answers; what they mean is the task's
    std::vector<std::string> classes;  // of a classification: all there are
    std::string gold;                  // how a right answer goes on behind the prefix, with its leading blank: its
                                       // log-probability is taken. "": there is no such text

    int64_t max_new_tokens = 128;
    std::vector<std::string> stops;    // texts that end the answer besides the model's end tokens; not part of it
    int64_t min_new_tokens = 0;        // a stop text does not count before
    std::vector<std::string> choices;  // not empty: no answer is generated; it is the likeliest of these, forced

    std::string cluster;                      // examples that share a context have the same one; "": by itself
    std::map<std::string, std::string> meta;  // strata and whatever a report shows: "depth", "bucket", "op"
};

// What every arm consumes.
struct rendered_example {
    std::vector<token_id> ids;
    std::string ids_hash;     // SHA-256 of the ids: predictions of other ids are never compared
    int64_t tail_tokens = 0;  // tokens behind the context: question, template, answer prefix
    std::string note;         // not empty: why the chat template was not applied
};

// ERRORS failure: the text cannot be tokenised.
rendered_example render_example(const model & m, const eval_example & e);

// Query-key pairs that a Triangle layer of the paper's shape leaves out of a prompt, of all causal ones; 0: the example
// is vacuous, its arms are the same computation.
double sparse_fraction(int64_t n_tokens);

}  // namespace tmx
