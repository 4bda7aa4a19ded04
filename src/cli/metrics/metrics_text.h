// cli/metrics/metrics_text.h -- counts in the text format that Prometheus reads (version 0.0.4).
#pragma once

#include <string>
#include <vector>

#include "cli/metrics/prompt_times.h"
#include "cli/metrics/statistics_reader.h"

namespace tmx {

constexpr const char * k_metrics_type = "text/plain; version=0.0.4; charset=utf-8";

// docs/metrics.md lists the names.
std::string metrics_text(const prompt_sums & prompts, const std::vector<process_counts> & processes);

}  // namespace tmx
