"""The time of decode steps: the slowest die of each step, as a straight line in how far sequences have grown."""

from __future__ import annotations

from typing import Protocol

from sim_hw.instance.compiled_decode import StepForm
from workers.decode.token_growth import Growth


class DecodeCost(Protocol):
    """How long steps last."""

    def form(self, num_running: int, kv_tokens: int) -> StepForm:
        """From now on until membership changes, for so many sequences and tokens of KV on all dies together."""
        ...


class StepLines:
    """With G tokens grown, a die's step lasts the longest of its lines at G, and that of the instance is its slowest
    die's, since expert parallelism synchronises all ranks in every layer.

    A sequence changes the lines of its die when it joins and when it leaves, so nothing is updated per step and nothing
    drifts. Among dies with equally many sequences the one with most KV is the slowest whatever the form and G, so dies
    are kept in groups by number of sequences, and only the fullest of each group is looked at. Dies without sequences
    are left out: no line falls with sequences or KV.
    """

    def __init__(self, num_dies: int, growth: Growth) -> None:
        self._growth = growth
        self._form: StepForm | None = None
        self._bases: list[list[int]] = []
        """`base_ps` of each line of the form, as plain integers."""
        self._bases_by_way: dict[int, list[list[int]]] = {}
        self._requests = [0] * num_dies
        self._groups: dict[int, dict[int, int]] = {}
        """By number of sequences: base tokens by die."""
        self._fullest: dict[int, int] = {}
        """By number of sequences: the most base tokens of a die, where it is known."""

    def use(self, form: StepForm) -> None:
        """Steps run in this form from now on."""
        if self._form is None or form.way != self._form.way:
            bases = self._bases_by_way.get(form.way)
            if bases is None:
                bases = self._bases_by_way[form.way] = [line.base_ps.tolist() for line in form.streams]
            self._bases = bases
        self._form = form

    def change(self, die: int, num_sequences: int, tokens: int) -> None:
        """A sequence joins (1), which will hold base tokens + G tokens of KV, or leaves (-1, and their negative)."""
        groups, fullest = self._groups, self._fullest
        requests = self._requests[die]
        if requests:
            group = groups[requests]
            before = group.pop(die)
            tokens += before
            if fullest.get(requests) == before:
                del fullest[requests]
            if not group:
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

    def span(self, step: int, grown: int, num_steps: int) -> tuple[int, int, int]:
        """The longest run from `step` on, where G is `grown`, at most `num_steps`, with one slowest line throughout.

        Answers its number of steps, offset and slope: a step lasts `offset_ps + slope_ps * G`.
        """
        assert self._form is not None
        fullest, bases, lines = self._fullest, self._bases, self._form.streams
        length_ps = offset_ps = slope_ps = -1
        steeper: list[tuple[int, int]] = []
        for requests, group in self._groups.items():
            tokens = fullest.get(requests)
            if tokens is None:
                tokens = fullest[requests] = max(group.values())
            for base_ps, line in zip(bases, lines):
                offset = base_ps[requests] + line.constant_ps + line.kv_ps * tokens
                slope = line.kv_ps * requests
                length = offset + slope * grown
                if length > length_ps or (length == length_ps and slope > slope_ps):
                    if slope < slope_ps:
                        steeper.append((offset_ps, slope_ps))
                    length_ps, offset_ps, slope_ps = length, offset, slope
                elif slope > slope_ps:
                    steeper.append((offset, slope))
        for offset, slope in steeper:
            if slope > slope_ps:  # it overtakes where G is more than they differ by in their slopes
                overtaken = (offset_ps - offset) // (slope - slope_ps) + 1
                num_steps = min(num_steps, self._growth.first_step_reaching(overtaken) - step)
        return num_steps, offset_ps, slope_ps
