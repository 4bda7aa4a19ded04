"""What a server answered, and how far two answers are apart."""

import dataclasses
import math


@dataclasses.dataclass
class Answer:
    tokens: list         # generated token ids, greedy
    steps: list          # one dict a token: token id -> natural log of its probability, the most likely ones
    text: str
    prompt_tokens: int   # of the prompt, as the server counted them
    reused_tokens: int   # of these, taken from the server's cache
    prompt_ms: float

    @classmethod
    def from_reply(cls, reply):
        """Cut before the first token that ends within a character: the server reports it without probabilities."""
        known = []
        for token, step in zip(reply["tokens"], reply.get("completion_probabilities", [])):
            if step["id"] != token:
                break
            known.append((token, {entry["id"]: entry["logprob"] for entry in step["top_logprobs"]}))
        timings = reply["timings"]
        return cls([token for token, _ in known], [step for _, step in known], reply["content"],
                   timings["prompt_n"] + timings["cache_n"], timings["cache_n"], timings["prompt_ms"])


def first_difference(a, b):
    """Index of the first token in which two answers differ, or None. One that merely ends earlier differs there."""
    for at, (left, right) in enumerate(zip(a.tokens, b.tokens)):
        if left != right:
            return at
    return None if len(a.tokens) == len(b.tokens) else min(len(a.tokens), len(b.tokens))


def gap(step, token):
    """How much less likely than the best token the model calls `token`, in nats; infinite if it is not listed."""
    return max(step.values()) - step.get(token, -math.inf)


def kl(reference, other):
    """KL(reference || other) in nats of two steps, over the tokens that both list; all others count as one token.
    Lumping can only make it smaller, and by nothing that matters while the rest is small (500 tokens: < 0.01)."""
    both = reference.keys() & other.keys()
    total = sum(math.exp(reference[token]) * (reference[token] - other[token]) for token in both)
    rest, other_rest = (max(1.0 - sum(math.exp(step[token]) for token in both), 1e-6) for step in (reference, other))
    return max(total + rest * math.log(rest / other_rest), 0.0)
