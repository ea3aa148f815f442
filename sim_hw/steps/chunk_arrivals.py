"""How often a step of an aggregated instance has no prompt to compute, in the steady state.

Prompts come to the steps at random, independently and so many a step in the mean (Poisson); a step computes what waits,
up to the room that sequences leave in it. What is left after each step is the waiting time of a queue in discrete time,
w' = max(0, w + arrivals - room), and it is 0 with the probability that Spitzer's identity gives,

    P(w = 0) = exp(-sum over n >= 1 of P(arrivals in n steps > n x room) / n)

(F. Spitzer, "A combinatorial lemma and its application to probability theory", Trans. AMS 82, 1956; for queues: S.
Asmussen, "Applied Probability and Queues", VIII.4). Nothing is fitted.
"""

from __future__ import annotations

from math import erfc, exp, floor, lgamma, log, sqrt
from typing import Final

MOST_STEPS: Final = 1000
"""Terms of the sum: what is left beyond matters only where hardly any step is without a prompt."""

NEGLIGIBLE: Final = 1e-7

EXACT_BELOW: Final = 60.0
"""Means up to which a Poisson tail is summed; above, Wilson and Hilferty's approximation is within 1e-4."""


def idle_share(prompts_per_step: float, prompt_tokens: float, room_tokens: float) -> float:
    """Of all steps, those in which no prompt is computed, where so many prompts of so many tokens come in a step and a
    step computes up to `room_tokens`; 0 where that is not enough for what comes."""
    load = prompts_per_step * prompt_tokens / room_tokens
    if load >= 1.0:
        return 0.0
    exponent = 0.0
    for steps in range(1, MOST_STEPS + 1):
        # A hair above, so that rounding does not count what fits exactly as too much.
        most = floor(steps * room_tokens / prompt_tokens * (1.0 + 1e-12))
        more = poisson_tail(steps * prompts_per_step, most)
        exponent += more / steps
        if more < NEGLIGIBLE:
            break
    # No fewer steps compute prompts than would if each of them were full.
    return min(exp(-exponent - prompts_per_step), 1.0 - load)


def poisson_tail(mean: float, most: int) -> float:
    """Probability of more than `most` events where `mean` are expected."""
    if most > 4.0 * mean + 100.0:
        return 0.0
    if mean < EXACT_BELOW:
        up_to = sum(exp(count * log(mean) - mean - lgamma(count + 1)) for count in range(most + 1))
        return max(0.0, 1.0 - up_to)
    degrees = most + 1.0
    along = (mean / degrees) ** (1.0 / 3.0) - 1.0 + 1.0 / (9.0 * degrees)
    return 0.5 * erfc(-3.0 * along * sqrt(degrees / 2.0))
