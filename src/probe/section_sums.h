// probe/section_sums.h -- what the gradient probe adds up over the query-key pairs of one section of one head.
#pragma once

#include <array>
#include <cstdint>

#include "trianglemix/geometry.h"

namespace tmx {

// The sections of geometry.h.
enum class section : uint8_t { streaming, last, middle };
constexpr std::array<section, 3> k_sections = {section::streaming, section::last, section::middle};
constexpr size_t index_of(section s) {
    return static_cast<size_t>(s);
}
constexpr const char * name_of(section s) {
    return s == section::streaming ? "streaming" : s == section::last ? "last" : "middle";
}

// y: the probed logit; A: attention after its softmax, S: before. Sums over pairs; divide by the pairs for means.
struct section_sums {
    double gradient = 0;        // |dy/dA|
    double contribution = 0;    // |dy/dA * A|
    double score_gradient = 0;  // |dy/dS|
    double mass = 0;            // A

    section_sums & operator+=(const section_sums & other) {
        gradient += other.gradient;
        contribution += other.contribution;
        score_gradient += other.score_gradient;
        mass += other.mass;
        return *this;
    }
    bool operator==(const section_sums &) const = default;
};
using head_sums = std::array<section_sums, 3>;  // by section

// Pairs of each section in a prompt of n tokens, by section; closed form.
std::array<int64_t, 3> section_pairs(const triangle_shape & shape, int64_t n);

}  // namespace tmx
