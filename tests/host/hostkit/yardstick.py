"""How far apart two equally good computations of one model are, measured, and the bounds that follow.

Stock llama.cpp has two attention implementations (-fa on and -fa off), and sums in another order for another ubatch. These
differ in rounding only, which the model's matrix products amplify. What they make of the same prompts is the yardstick;
the backend in exact mode may be twice as far from stock, since it brings its own rounding.
"""

import dataclasses
import math

from .answer import first_difference, gap, kl

FACTOR = 2
NEAR = 2.0        # nats: only tokens this close to the best can take its place by rounding
KL_FLOOR = 1e-5   # nats: the log-probabilities come as float32 of up to 20, 1e-6 each, and over 500 tokens


@dataclasses.dataclass
class Yardstick:
    gap_shift: float  # nats, largest change of the distance between the best token and another near one
    kl: float         # nats, largest KL of the first token's distribution

    @property
    def gap_bound(self):
        return FACTOR * self.gap_shift

    @property
    def kl_bound(self):
        return FACTOR * self.kl + KL_FLOOR

    def __str__(self):
        return (f"stock against itself: gaps between near tokens {self.gap_shift:.4f} nats apart, first-token KL "
                f"{self.kl:.2e}; bounds {self.gap_bound:.4f} and {self.kl_bound:.2e}")


def common_steps(a, b):
    """Steps that both answered after the same tokens: up to and with the first difference."""
    at = first_difference(a, b)
    return min(len(a.steps), len(b.steps)) if at is None else min(at + 1, len(a.steps), len(b.steps))


def gap_shift(reference, other):
    """Largest change of the gap between the reference's best token and any other within NEAR of it, over all steps."""
    worst = 0.0
    for a, b in list(zip(reference.steps, other.steps))[:common_steps(reference, other)]:
        best = max(a, key=a.get)
        for token in (token for token in a if a[best] - a[token] < NEAR):
            worst = max(worst, abs((a[best] - a[token]) - (b.get(best, -math.inf) - b.get(token, -math.inf))))
    return worst


def measure(pairs):
    """pairs: answers of two forms of stock llama.cpp to the same prompts."""
    pairs = list(pairs)
    return Yardstick(max(gap_shift(a, b) for a, b in pairs), max(kl(a.steps[0], b.steps[0]) for a, b in pairs))


def text_problem(reference, other, yardstick):
    """None if the greedy texts are equal or part at a near-tie of the reference, else what is wrong. And a remark."""
    at = first_difference(reference, other)
    if at is None:
        return None, f"all {len(reference.tokens)} tokens equal"
    if at >= len(other.tokens) or at >= len(reference.tokens):
        return f"one answer ends after {at} tokens, the other goes on", ""
    distance = gap(reference.steps[at], other.tokens[at])
    remark = (f"token {at} differs: {reference.tokens[at]} against {other.tokens[at]}, which the reference calls "
              f"{distance:.4f} nats less likely")
    if distance > yardstick.gap_bound:
        return f"{remark}: more than the bound {yardstick.gap_bound:.4f}", ""
    return None, f"{remark} (a near-tie: bound {yardstick.gap_bound:.4f})"
