// profile/findings.h -- what a profile found, in a few JSON lines: for tables, and for comparing runs.
#pragma once

#include <string>

#include "profile/report.h"

namespace tmx {

// One JSON object a line, each with the command, machine, version and date:
//   "score"      a gradient score and how well it predicts the measured damage
//   "size"       a set of the order, measured on the prompts that choose
//   "chosen"     the chosen set on held-out prompts
//   "yardstick"  one of stock llama.cpp's own variations on the same prompts
//   "run"        what it took: seconds and the largest resident set, over so many prompts that choose; `on_file` counts
//                the measurements that an earlier run left, which took no time now
std::string findings_jsonl(const profile_settings & settings, const profile_result & r, const report_facts & facts);

}  // namespace tmx
