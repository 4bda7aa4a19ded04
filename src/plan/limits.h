// plan/limits.h -- bounds of the plan format. They keep hostile files from costing memory or time, and are far above
// any real model. Together they ensure that whatever parse_plan accepts, write_plan writes within max_text_bytes and
// max_values. The longest text has max_layers head sets of under 2.5 KB each, max_rules rules of two such sets each,
// and max_provenance_bytes with one indented line a value. The most values are max_rules dynamic entries of at most
// eleven (the entry, its method, layers, heads and min_tokens, six parameters), max_layers bands of four and head sets
// of two, max_provenance_values and some twenty of the file itself.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tmx::plan_limits {

constexpr size_t max_text_bytes = size_t{8} << 20;
constexpr size_t max_depth = 16;      // nested objects and arrays, the outermost included
constexpr size_t max_values = 32768;  // of the whole file
constexpr size_t max_provenance_values = 4096;
constexpr size_t max_provenance_bytes = size_t{64} << 10;
constexpr size_t max_name_bytes = 128;
constexpr int32_t max_layers = 1024;
constexpr int32_t max_heads = 1024;
constexpr size_t max_rules = 1024;  // of "dynamic"
constexpr int32_t max_head_dim = 65536;
constexpr int64_t max_tokens = INT32_MAX;  // of sink, window, last, min_tokens: a llama.cpp position is an int32

}  // namespace tmx::plan_limits
