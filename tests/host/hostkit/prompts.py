"""Prompts of mixed kinds, made from a seed and from a document that every Debian machine has. Token-exact lengths."""

import pathlib
import random

DOCUMENT = pathlib.Path("/usr/share/common-licenses/GPL-3")

_WORDS = ("amber anchor basket beacon candle carpet cedar cobalt copper cradle desert dragon ember falcon fennel garden "
          "glacier granite harbor hazel indigo island jasmine kettle lantern lagoon magnet maple marble meadow nectar "
          "olive orchid pebble pepper pillar plume quarry raven ribbon river saddle saffron silver spruce tangle thistle "
          "timber topaz tulip umber valley velvet violet walnut willow winter yarrow zephyr zircon").split()


def _document(rng):
    text = DOCUMENT.read_text()
    return text[rng.randrange(len(text) // 4):]


def _key_values(rng):
    keys = [f"{rng.choice(_WORDS)}-{rng.randrange(1000)}" for _ in range(600)]
    lines = [f"The code of {key} is {rng.randrange(10000, 99999)}." for key in keys]
    return "Remember these codes.\n" + "\n".join(lines)


def _needle(rng):
    paragraphs = _document(rng).split("\n\n")
    paragraphs.insert(2, f"The password of the old {rng.choice(_WORDS)} is {rng.choice(_WORDS)}{rng.randrange(100)}.")
    return "\n\n".join(paragraphs)


def _program(rng):
    parts = ["import math\n"]
    for _ in range(150):
        name, other = rng.sample(_WORDS, 2)
        parts.append(f"\ndef {name}_{rng.randrange(1000)}({other}):\n    total = {rng.randrange(100)}\n"
                     f"    for i in range({rng.randrange(2, 50)}):\n        total += {other}[i] * "
                     f"math.{rng.choice(['sin', 'cos', 'sqrt', 'exp'])}(i)\n    return total\n")
    return "".join(parts)


def _table(rng):
    rows = [f"{day:03d},{rng.choice(_WORDS)},{rng.uniform(-40, 60):.2f},{rng.randrange(10**6)}" for day in range(400)]
    return "day,name,change,volume\n" + "\n".join(rows)


def _words(rng):
    return " ".join(rng.choice(_WORDS) for _ in range(4000))


def _repeated(rng):
    phrase = " ".join(rng.choice(_WORDS) for _ in range(11))
    return (phrase + ". ") * 300


def _dialogue(rng):
    turns = []
    for _ in range(110):
        first, second = rng.sample(_WORDS, 2)
        turns.append(f"A: Have you seen the {first} near the {second}?\nB: Yes, {rng.randrange(2, 30)} days ago, beside "
                     f"the {rng.choice(_WORDS)}. It was {rng.choice(['new', 'old', 'broken', 'painted'])}.\n")
    return "".join(turns)


_KINDS = {"document": _document, "key values": _key_values, "needle": _needle, "program": _program, "table": _table,
          "words": _words, "repeated": _repeated, "dialogue": _dialogue}

_QUESTIONS = ("What is this text about? Answer in one sentence.", "Repeat the first name that the text mentions.",
              "List three things from the text.", "Continue the text.")


class Prompts:
    """prompt(i, n) is a list of exactly n token ids; the same for the same arguments. Odd ones are chat turns."""

    def __init__(self, tokenize):
        self._tokenize = tokenize

    @staticmethod
    def kind(index):
        return list(_KINDS)[index % len(_KINDS)]

    def prompt(self, index, n_tokens):
        rng = random.Random(1000 + index)
        body = self._tokenize(_KINDS[self.kind(index)](rng))
        head, tail = [], []
        if index % 2:
            head = self._tokenize("<|im_start|>user\n")
            tail = self._tokenize(f"\n\n{rng.choice(_QUESTIONS)}<|im_end|>\n<|im_start|>assistant\n")
        body = body[:n_tokens - len(head) - len(tail)]
        tokens = head + body + tail
        if len(tokens) != n_tokens:
            raise ValueError(f"prompt {index} ({self.kind(index)}) is too short: {len(tokens)} of {n_tokens} tokens")
        return tokens
