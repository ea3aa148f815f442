"""How many tokens a running sequence has produced after s steps, in closed form."""

from __future__ import annotations


class Growth:
    """`G(s) = s * numerator // denominator`: tokens that a sequence running since step 0 has produced after s steps.

    Multi-token prediction counts in expectation: with one speculative token accepted at 70 %, G is 17 * s // 10. All
    sequences share one G, so that nothing needs an update per step: a sequence that joined at step j has produced
    `G(s) - G(j)`.
    """

    def __init__(self, numerator: int, denominator: int) -> None:
        self._numerator = numerator
        self._denominator = denominator
        # What rounding down takes off: in all of one period of the denominator, and in the first so many steps of one.
        self._rests = [0]
        for step in range(denominator):
            self._rests.append(self._rests[-1] + step * numerator % denominator)
        self._period_rest = self._rests[denominator]

    def at(self, step: int) -> int:
        """G(step)."""
        return step * self._numerator // self._denominator

    def first_step_reaching(self, tokens: int) -> int:
        """The smallest s with G(s) >= tokens."""
        return -(-tokens * self._denominator // self._numerator)

    def sum_before(self, step: int) -> int:
        """G(0) + G(1) + ... + G(step - 1)."""
        denominator = self._denominator
        rests = step // denominator * self._period_rest + self._rests[step % denominator]
        return (step * (step - 1) // 2 * self._numerator - rests) // denominator
