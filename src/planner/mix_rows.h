// planner/mix_rows.h -- a planner's measurements and findings as JSON lines.
#pragma once

#include <string>

#include "planner/planner_result.h"
#include "planner/settings.h"
#include "profile/page/page_parts.h"

namespace tmx {

// Every measurement that the result rests on: "choice", an entry in one layer; "mix", what a mix did to a prompt.
std::string mix_scores_jsonl(const planner_result & r);

// What was found, each line with the command, machine, version and date: "everywhere", an entry in every layer;
// "chosen", the mix and Triangle alone at each length of held-out prompts; "run", what it took.
std::string mix_findings_jsonl(const planner_settings & settings, const planner_result & r, const report_facts & facts);

}  // namespace tmx
