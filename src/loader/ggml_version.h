// Versions of ggml, and which part of this library serves which of them. A part is src/glue, compiled with one
// version's internal headers; what else changed from version to version does not concern it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tmx {

struct ggml_release {
    int major = 0;
    int minor = 0;

    constexpr int64_t order() const { return major * int64_t{1000000} + minor; }
};

// "0.25.3" is {0, 25}: a third number changes no layout that is known. None if it is no version.
std::optional<ggml_release> parse_release(std::string_view text);
std::string to_string(ggml_release release);

// The first and the last release that parts were tried with. Where the layout changed within a release, two parts have
// it, and the probe of each decides (glue/layout_probe.h).
struct host_part {
    const char * name;  // the part's file is libtrianglemix-ggml-<name>.so
    ggml_release first;
    ggml_release last;
};

// Newest first.
constexpr host_part k_parts[] = {
    {"0.26", {0, 25}, {0, 27}},  // GGML_BACKEND_API_VERSION 3: buffer types allocate lists of tensors
    {"0.20", {0, 20}, {0, 25}},  // devices tell whether they map files; optimizing a graph takes parameters (0.22)
    {"0.14", {0, 14}, {0, 20}},  // an operation was added before attention
    {"0.13", {0, 13}, {0, 13}},
};

// TRIANGLEMIX_TRY_NEWER_GGML.
bool tries_newer_ggml();

// Which parts may serve a host, in the order in which they are to be tried; or why none may, as a sentence.
struct part_choice {
    std::vector<const host_part *> parts;
    std::string refusal;
};

// `try_newer`: a release that is newer than any known is tried with the newest part instead of refused.
part_choice parts_for(std::string_view host_version, bool try_newer);

}  // namespace tmx
