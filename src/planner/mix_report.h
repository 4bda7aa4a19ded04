// planner/mix_report.h -- a planner's result as one self-contained HTML page.
#pragma once

#include <string>

#include "planner/planner_result.h"
#include "planner/settings.h"
#include "profile/page/page_parts.h"

namespace tmx {

// Everything drawn by ourselves into the page; no file, script, font or address from elsewhere.
std::string mix_report_html(const planner_settings & settings, const planner_result & r, const report_facts & facts);

// What was found, for people: a sentence a line, the mix first.
std::vector<std::string> mix_summary(const planner_settings & settings, const planner_result & r);

}  // namespace tmx
