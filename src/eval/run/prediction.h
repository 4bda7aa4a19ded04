// eval/run/prediction.h -- what one arm answered to one example, as it is kept on file (docs/evaluation.md).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/example.h"
#include "eval/task.h"

namespace tmx {

struct answered {
    std::vector<token_id> tokens;
    std::string text;          // of them, a stop text and what follows cut off
    std::string stop_reason;   // "end", "stop_text", "max_tokens", "context", "choice"
    double first_logprob = 0;  // of the first token
    double gold_nll = -1;      // mean negative log-probability of a gold token; < 0: there is no gold text
    int64_t n_gold = 0;
    double prefill_seconds = 0;
    double decode_seconds = 0;  // of the evaluations it was part of
    double wall_seconds = 0;    // its share of all the time that the run has taken since the answers before
    double kept_share = 1;      // of the pairs in the attention nodes that the backend computed
    int64_t n_planned = 0;      // attention nodes computed by the plan
};

struct prediction {
    std::string suite;
    std::string task;
    std::string id;
    int64_t length = 0;  // the budget, or the length that was asked for
    std::string arm;
    std::string arm_identity;
    std::string from;  // provenance
    std::string ids_hash;
    int64_t n_prompt = 0;
    int64_t tail_tokens = 0;
    std::string cluster;
    std::map<std::string, std::string> meta;
    std::vector<std::string> outputs;
    task_score score;
    answered answer;

    // No pair was left out: the arm is the reference by construction.
    bool vacuous() const { return answer.kept_share >= 1; }
};

nlohmann::ordered_json to_json(const prediction & p);

// ERRORS nlohmann::json::exception: it is none.
prediction prediction_of(const nlohmann::ordered_json & record);

}  // namespace tmx
