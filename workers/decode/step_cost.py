"""The cost of decode steps: which die is the slowest, for how many steps, and how its step time grows meanwhile.

Why a whole run of steps has one affine cost. Let G be the expected accepted tokens so far (`expected_tokens`). While
nobody joins or leaves, a die with n sequences holds `base_tokens + n * G` tokens of KV, so the cost of each stream of
the step's form (work that runs side by side) is affine in G on that die:

    base_ps[n] + constant_ps + kv_ps * (base_tokens + n * G)  =  offset + slope * G,    slope = kv_ps * n

A die's step lasts the longest of its streams (attention or experts may be the bottleneck), and the instance's step that
of its slowest die, since expert parallelism synchronises all ranks in every layer. The cost of a step is thus a
maximum of affine functions of G: their upper envelope, which is convex and made of straight pieces. From step to step
G never falls. So a piece that is below the envelope now and no steeper than it will never matter again, the slope of
the envelope only rises, and the present piece stays the envelope until a steeper one crosses it, at a G that one
division finds. `span` returns that piece and how many steps it lasts; `step_run` sums it in closed form.

Why few pieces have to be looked at. Dies with equally many sequences have the same slope on each stream, and the one
with most base tokens is above the others at every G: only the fullest die of each group counts. Reservations go to the
die with most free KV, so there are few groups among hundreds of dies.
"""

from __future__ import annotations

from typing import Protocol

from sim_hw.instance.compiled_decode import StepForm
from workers.decode.expected_tokens import ExpectedTokens


class DecodeCost(Protocol):
    """How long steps last, as forms: the streams of a step, in picoseconds, that hold until membership changes."""

    def form(self, num_running: int, kv_tokens: int) -> StepForm:
        """From now on until membership changes, for so many sequences and tokens of KV on all dies together."""
        ...


class StepCost:
    """Sequences and base tokens of every die, and the upper envelope of their step costs.

    A die changes when a sequence joins or leaves it, so nothing is updated per step and nothing drifts. Dies without
    sequences are left out: no cost falls with sequences or KV.
    """

    def __init__(self, num_dies: int, expected: ExpectedTokens) -> None:
        self._expected = expected
        self._form: StepForm | None = None
        self._lines: list[tuple[list[int], int, int]] = []
        """Of each stream of the form `base_ps` by number of sequences, `constant_ps` and `kv_ps`, as plain integers."""
        self._bases_by_way: dict[int, list[list[int]]] = {}
        self._requests = [0] * num_dies
        self._groups: dict[int, dict[int, int]] = {}
        """By number of sequences: base tokens by die."""
        self._fullest: dict[int, int] = {}
        """By number of sequences: the most base tokens of a die, where it is known."""

    def use(self, form: StepForm) -> None:
        """Steps run in this form from now on."""
        if form is self._form:
            return
        bases = self._bases_by_way.get(form.way)
        if bases is None:
            bases = self._bases_by_way[form.way] = [line.base_ps.tolist() for line in form.streams]
        self._lines = [(base_ps, line.constant_ps, line.kv_ps) for base_ps, line in zip(bases, form.streams)]
        self._form = form

    def change(self, die: int, num_sequences: int, tokens: int) -> None:
        """A sequence joins (1), which will hold base tokens + G tokens of KV, or leaves (-1, and their negative)."""
        groups, fullest = self._groups, self._fullest
        requests = self._requests[die]
        if requests:
            left = groups[requests]
            before = left.pop(die)
            tokens += before
            if fullest.get(requests) == before:
                del fullest[requests]
            if not left:
                del groups[requests]
        requests += num_sequences
        self._requests[die] = requests
        if not requests:
            return
        group = groups.get(requests)
        if group is None:
            groups[requests] = {die: tokens}
            return
        group[die] = tokens
        most = fullest.get(requests)
        if most is not None and tokens > most:
            fullest[requests] = tokens

    def span(self, step: int, accepted: int, num_steps: int) -> tuple[int, int, int]:
        """The longest run from `step` on, where G is `accepted`, at most `num_steps`, on one piece of the envelope.

        Returns its number of steps, offset and slope: a step lasts `offset_ps + slope_ps * G` picoseconds.
        """
        fullest, lines = self._fullest, self._lines
        length_ps = offset_ps = slope_ps = -1
        steeper: list[tuple[int, int]] = []
        for requests, group in self._groups.items():
            tokens = fullest.get(requests)
            if tokens is None:
                tokens = fullest[requests] = max(group.values())
            for base_ps, constant_ps, kv_ps in lines:
                offset = base_ps[requests] + constant_ps + kv_ps * tokens
                slope = kv_ps * requests
                length = offset + slope * accepted
                if length > length_ps or (length == length_ps and slope > slope_ps):
                    if slope < slope_ps:
                        steeper.append((offset_ps, slope_ps))
                    length_ps, offset_ps, slope_ps = length, offset, slope
                elif slope > slope_ps:
                    steeper.append((offset, slope))
        for offset, slope in steeper:
            if slope > slope_ps:  # it overtakes where G is more than they differ by in their slopes
                overtaken = (offset_ps - offset) // (slope - slope_ps) + 1
                num_steps = min(num_steps, self._expected.first_step_reaching(overtaken) - step)
        return num_steps, offset_ps, slope_ps
