#include "loader/ggml_version.h"

#include <charconv>
#include <cstdlib>
#include <iterator>

namespace tmx {

std::optional<ggml_release> parse_release(std::string_view text) {
    ggml_release release;
    const char * const end = text.data() + text.size();
    const auto [dot, no_major] = std::from_chars(text.data(), end, release.major);
    if (no_major != std::errc() || dot == end || *dot != '.') {
        return std::nullopt;
    }
    const auto [rest, no_minor] = std::from_chars(dot + 1, end, release.minor);
    if (no_minor != std::errc() || (rest != end && *rest != '.')) {
        return std::nullopt;
    }
    return release;
}

std::string to_string(ggml_release release) {
    return std::to_string(release.major) + "." + std::to_string(release.minor);
}

bool tries_newer_ggml() {
    const char * value = std::getenv("TRIANGLEMIX_TRY_NEWER_GGML");
    const std::string_view text = value != nullptr ? value : "";
    return text == "1" || text == "true" || text == "on" || text == "yes";
}

part_choice parts_for(std::string_view host_version, bool try_newer) {
    constexpr const host_part & newest = k_parts[0];
    const std::string known = to_string(std::rbegin(k_parts)->first) + " to " + to_string(newest.last);
    const std::string host(host_version);
    const std::optional<ggml_release> release = parse_release(host_version);
    if (!release) {
        return {{}, "this program's ggml calls itself \"" + host + "\", which is no version; known are " + known};
    }
    if (release->order() > newest.last.order()) {
        if (try_newer) {
            return {{&newest}, ""};
        }
        return {{},
                "this program's ggml " + host + " is newer than those that this library was tried with, " + known +
                    ". TRIANGLEMIX_TRY_NEWER_GGML=1 tries it all the same, if its layout is a known one"};
    }
    part_choice choice;
    for (const host_part & part : k_parts) {
        if (part.first.order() <= release->order() && release->order() <= part.last.order()) {
            choice.parts.push_back(&part);
        }
    }
    if (choice.parts.empty()) {
        choice.refusal =
            "this program's ggml " + host + " is older than those that this library was tried with, " + known;
    }
    return choice;
}

}  // namespace tmx
