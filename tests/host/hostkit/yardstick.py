"""How far apart two equally good computations of one model are, measured, and the bounds that follow.

Stock llama.cpp has two attention implementations (-fa on and -fa off). They differ in rounding only, but the 8-bit
activations of the next matrix product amplify that. What they make of the same prompts is the yardstick; the backend in
exact mode may be twice as far from stock, since it replaces one of the two by a third.
"""

import dataclasses
import math

from .answer import first_difference, gap, kl

FACTOR = 2
NEAR = 2.0        # nats: only where the best two tokens are this close can rounding matter to the text
KL_FLOOR = 1e-4   # nats: below it the lists' own float rounding shows


@dataclasses.dataclass
class Yardstick:
    gap_shift: float  # nats, largest change of the distance between the best two tokens, where they are near
    kl: float         # nats, largest KL of the first token's distribution

    @property
    def gap_bound(self):
        return FACTOR * self.gap_shift

    @property
    def kl_bound(self):
        return FACTOR * self.kl + KL_FLOOR

    def __str__(self):
        return (f"two stock implementations: gap of the best two tokens {self.gap_shift:.3f} nats apart, first-token KL "
                f"{self.kl:.2e}; bounds {self.gap_bound:.3f} and {self.kl_bound:.2e}")


def common_steps(a, b):
    """Steps that both answered after the same tokens: up to and with the first difference."""
    at = first_difference(a, b)
    return min(len(a.steps), len(b.steps)) if at is None else min(at + 1, len(a.steps), len(b.steps))


def gap_shift(reference, other):
    """Largest change of the gap between the reference's best two tokens, over steps where it is under NEAR."""
    worst = 0.0
    for a, b in list(zip(reference.steps, other.steps))[:common_steps(reference, other)]:
        first, second = sorted(a, key=a.get, reverse=True)[:2]
        if a[first] - a[second] < NEAR:
            worst = max(worst, abs((a[first] - a[second]) - (b.get(first, -math.inf) - b.get(second, -math.inf))))
    return worst


def measure(pairs):
    """pairs: (answer with -fa on, answer with -fa off) of the same prompts."""
    pairs = list(pairs)
    return Yardstick(max(gap_shift(on, off) for on, off in pairs), max(kl(on.steps[0], off.steps[0]) for on, off in pairs))


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
