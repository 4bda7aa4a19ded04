// runtime/failure.h -- how src/runtime and the programs built on it report what went wrong.
//
// These modules are tools around libllama, never called from ggml, so they use exceptions: one type per outcome that a
// program must tell apart, the text always complete enough to be shown to the user as it is.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace tmx {

// Something outside the program is wrong: a file, a model, a library. The text says what, where, and what to do.
class failure : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// What was read, a `parsed` of some kind. ERRORS failure: why it was not, behind `where`.
template <class Parsed>
auto value_of(Parsed read, const std::string & where = "") {
    if (!read.ok()) {
        throw failure(where + read.error);
    }
    return std::move(read.value);
}

// The caller asked to stop (context_options::stop became true).
class interrupted : public std::runtime_error {
  public:
    interrupted() : std::runtime_error("interrupted") {}
};

}  // namespace tmx
