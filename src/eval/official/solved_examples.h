// eval/official/solved_examples.h -- solved problems of GSM8K's training file, shown before a problem: a long prompt
// for tasks that have short ones.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "eval/task.h"

namespace tmx {

// Each as "Question: ...\nAnswer: ...", with a blank line behind it. files: the file's SHA-256 joins it.
// ERRORS failure: the data folder has no gsm8k/train.jsonl, or a wrong one.
std::vector<std::string> read_solved_examples(const eval_sources & sources, std::string & files);

// The first n of them in the request's own order, joined. REQUIRES n <= their number.
std::string some_solved_examples(const std::vector<std::string> & examples, const example_request & request,
                                 const std::string & task, int64_t n);

// As fit_units(), with as many of the examples as fit.
eval_example fit_solved_examples(const example_request & request, const std::vector<std::string> & examples,
                                 const std::function<eval_example(int64_t n)> & build);

}  // namespace tmx
