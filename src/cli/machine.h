// cli/machine.h -- what a measurement was taken on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tmx {

std::string cpu_name();                // "AMD EPYC 9B14", or "unknown CPU"
std::vector<std::string> cpu_flags();  // instruction sets as the kernel spells them; empty if it does not say
std::string utc_time();                // "2026-11-23T20:51:07Z"
int64_t peak_memory_bytes();           // largest resident set of this process so far

// A device of ggml by its name: "TriangleMix0 (NVIDIA H100)"; one that is not here stays the name that it was given.
std::string describe_device(const std::string & name);

}  // namespace tmx
