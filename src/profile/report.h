// profile/report.h -- the profile as one self-contained HTML page.
#pragma once

#include <string>

#include "profile/page/page_parts.h"
#include "profile/profiler.h"

namespace tmx {

// Everything drawn by ourselves into the page; no file, script, font or address from elsewhere.
std::string report_html(const profile_settings & settings, const profile_result & r, const report_facts & facts);

}  // namespace tmx
