// eval/score/longbench_score.h -- the datasets of LongBench that need no Chinese dictionary, and how each is scored.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eval/score/code_similarity.h"

namespace tmx {

enum class longbench_metric : uint8_t { word_f1, rouge_l, class_match, number_share, paragraph_share, code_similarity };
const char * name_of(longbench_metric metric);

struct longbench_dataset {
    const char * name;
    const char * group;  // as the paper groups tasks: "single-doc", "few-shot", ...
    longbench_metric metric;
    bool in_e;          // of LongBench-E
    bool chat;          // in the chat template; the others are raw text that the model goes on with
    bool first_line;    // only the prediction's first line counts
    bool ends_at_line;  // a newline ends the answer, but not as its first token
};

const std::vector<longbench_dataset> & longbench_datasets();
const longbench_dataset * find_longbench_dataset(std::string_view name);  // null: no such dataset

// What is wrong with a row's answers for this metric; "" if nothing.
std::string check_longbench_answers(longbench_metric metric, const std::vector<std::string> & answers,
                                    const std::vector<std::string> & classes);

// 0 to 1, the best over the answers. REQUIRES check_longbench_answers() found nothing.
double longbench_score(const longbench_dataset & dataset, std::string_view prediction,
                       const std::vector<std::string> & answers, const std::vector<std::string> & classes,
                       code_rule rule);

}  // namespace tmx
