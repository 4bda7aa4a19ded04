// fuzz/property.h -- what a fuzz target claims about every input; a broken claim ends the process with its text.
#pragma once

#include <cstdio>
#include <cstdlib>

#define TMX_PROPERTY(condition)                                                                          \
    do {                                                                                                 \
        if (!(condition)) {                                                                              \
            std::fprintf(stderr, "%s:%d: property does not hold: %s\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                                                \
        }                                                                                                \
    } while (false)

// An error text may be shown in a log or on a terminal: one line of ASCII, not endless.
template <class Text>
bool is_showable(const Text & text) {
    for (const char c : text) {
        if (c < 0x20 || c > 0x7e) {
            return false;
        }
    }
    return !text.empty() && text.size() < 1000;
}
