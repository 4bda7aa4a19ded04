// runtime/program.h -- what programs ask of the system, with llama.cpp in them or not.
#pragma once

#include <string>

namespace tmx {

double seconds_now();  // monotonic clock

// A library of ours that lies beside this program: "libggml-trianglemix.so".
std::string library_beside(const std::string & name);

}  // namespace tmx
