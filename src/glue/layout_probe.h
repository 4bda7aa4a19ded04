// Whether the ggml of this process is laid out as the headers that this part was compiled with say. Interface tables
// are filled and read by position, tensors and graphs by field, and both change without a new API number: so what is
// taken for granted is tried out, on objects made for it, before anything registers.
//
// Two things show in no trial, so the version is believed: from 0.22 on optimizing a graph takes parameters, and from
// 0.20 on a device tells whether it maps files, in what was padding. Commits between two releases bear the name of the
// last one; where a change hides behind that, both parts have the release. A ggml 0.22 that called itself 0.15 would
// pass as one, but nobody makes such a ggml.
#pragma once

#include <string>

namespace tmx {

// "" if so, else what differs, as half a sentence: "a tensor's nb lies elsewhere". Changes nothing in the process.
// Reads no field of a real device or backend: only of tensors and graphs of its own, whose sizes it checked first.
std::string layout_difference();

}  // namespace tmx
