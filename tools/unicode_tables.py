#!/usr/bin/env python3
"""Writes src/eval/score/unicode_tables.cpp: what Python says of Unicode's characters.

    tools/unicode_tables.py > src/eval/score/unicode_tables.cpp && clang-format-14 -i src/eval/score/unicode_tables.cpp

The official scorers are Python programs, so ours lower, split and count as Python does. Run it anew only to follow a newer
Unicode; the version is in the file.
"""
import unicodedata

SURROGATES = range(0xD800, 0xE000)


def ranges_of(holds):
    """The ranges [first, last] of characters for which it holds."""
    found = []
    for code in range(0x110000):
        if code in SURROGATES or not holds(chr(code)):
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def lower_runs():
    """(first, last, step, what to add) of the characters that become another single one."""
    pairs = [(code, ord(chr(code).lower())) for code in range(0x110000)
             if code not in SURROGATES and len(chr(code).lower()) == 1 and chr(code).lower() != chr(code)]
    at = 0
    while at < len(pairs):
        add = pairs[at][1] - pairs[at][0]
        end, step = at, 1
        for stride in (1, 2):
            to = at
            while to + 1 < len(pairs) and pairs[to + 1][0] - pairs[to][0] == stride and \
                    pairs[to + 1][1] - pairs[to + 1][0] == add:
                to += 1
            if to > end:
                end, step = to, stride
        yield pairs[at][0], pairs[end][0], step, add
        at = end + 1


def main():
    print(f"// Made by tools/unicode_tables.py from Unicode {unicodedata.unidata_version}.")
    print('#include "eval/score/unicode_tables.h"\n\nnamespace tmx {\nnamespace {\n')
    print("constexpr code_range k_words[] = {")
    print(", ".join("{0x%x, 0x%x}" % tuple(r) for r in ranges_of(lambda c: c.isalnum() or c == "_")) + "};\n")
    print("constexpr char32_t k_zeros[] = {")
    zeros = [c for c in range(0x110000) if c not in SURROGATES and unicodedata.decimal(chr(c), None) == 0]
    print(", ".join("0x%x" % zero for zero in zeros) + "};\n")
    print("constexpr lower_run k_lower[] = {")
    print(", ".join("{0x%x, 0x%x, %d, %d}" % run for run in lower_runs()) + "};\n")
    print("}  // namespace\n")
    print("std::span<const code_range> word_ranges() { return k_words; }")
    print("std::span<const char32_t> decimal_zeros() { return k_zeros; }")
    print("std::span<const lower_run> lower_runs() { return k_lower; }\n")
    print("}  // namespace tmx")


main()
