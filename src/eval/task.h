// eval/task.h -- a task: makes or loads examples, and scores what a model answered. One file a task, or a family of
// tasks, under eval/tasks/; all of them stand in the table of eval/task_table.h.
//
// THREADS  Constant functions may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eval/example.h"
#include "eval/sources.h"

namespace tmx {

// How texts become tokens: the model's way in a run, a simple one in tests.
class eval_tokenizer {
  public:
    virtual ~eval_tokenizer() = default;

    // Tokens of the whole prompt as a model gets it: BOS, chat template, turns, answer prefix.
    virtual int64_t count_prompt(const eval_example & e) const = 0;
    virtual std::vector<token_id> tokenise(std::string_view plain) const = 0;  // no BOS, nothing special
    virtual std::string text(const std::vector<token_id> & tokens) const = 0;  // ... and back
};

struct example_request {
    int64_t budget = 0;  // tokens that prompt and answer must fit into; 0: none
    int64_t index = 0;   // >= 0; below n_examples() where that is not endless
    uint64_t seed = 1;   // with task, budget and index it decides everything that is random
    // Things are shuffled alike in all examples of a task and budget, as the official RULER does it; otherwise anew.
    bool frozen_order = false;
    const eval_tokenizer & tokens;
};

struct task_facts {
    std::string suite;
    std::string name;
    provenance from = provenance::native;
    bool budgeted = true;     // examples are made for a length; false: they are as long as they are
    bool in_average = true;   // of the suite
    bool binary = true;       // every score is 0 or 1
    double chance = 0;        // expected score of an answer that knows nothing
    std::string note;         // what a reader of the table must know: the stand-in used, the extraction rule
    int64_t n_examples = -1;  // < 0: as many as are asked for
    int revision = 0;         // raised whenever it makes other texts of the same request
    std::string files;  // SHA-256 of the official files it was read from, one behind the other: other contents, other
                        // examples
};

struct task_score {
    double value = 0;   // 0..1
    bool found = true;  // an answer could be read out of the text; false counts as wrong, and is reported
    std::string read;   // what was taken for the answer; "": the whole text
};

class eval_task {
  public:
    virtual ~eval_task() = default;
    virtual const task_facts & facts() const = 0;

    // The same request gives the same example. suite, task, id, from and length_budget are filled in, too.
    // ERRORS failure: the budget is too small for the task; says how many tokens it needs.
    virtual eval_example make(const example_request & request) const = 0;

    virtual task_score score(const eval_example & e, const std::string & answer) const = 0;
};

}  // namespace tmx
