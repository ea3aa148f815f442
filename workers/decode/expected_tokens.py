"""Expected accepted tokens after a number of decode steps, in closed form."""

from __future__ import annotations


class ExpectedTokens:
    """`G(s) = s * numerator // denominator`: the expected accepted tokens, after s steps, of a sequence that has been
    running since step 0.

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
        """G(step): expected accepted tokens after so many steps."""
        return step * self._numerator // self._denominator

    def first_step_reaching(self, tokens: int) -> int:
        """The smallest s with G(s) >= tokens."""
        return -(-tokens * self._denominator // self._numerator)

    def sum_before(self, step: int) -> int:
        """G(0) + G(1) + ... + G(step - 1), in time that does not depend on `step`."""
        denominator = self._denominator
        rests = step // denominator * self._period_rest + self._rests[step % denominator]
        return (step * (step - 1) // 2 * self._numerator - rests) // denominator
