"""The time of decode steps: the slowest die of each step, as a straight line in how far sequences have grown."""

from __future__ import annotations

from typing import Protocol

from sim_hw.engine.compiled_decode import StepForm
from workers.growth import Growth


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
        # Of each line: base_ps by number of sequences, kv_ps, constant_ps.
        self._lines: list[tuple[list[int], int, int]] = []
        self._bases_by_way: dict[int, list[list[int]]] = {}
        self._requests = [0] * num_dies
        self._base_tokens = [0] * num_dies
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
            bases = self._bases_by_way[form.way] = [line.base_ps.tolist() for line in form.lines]
        self._lines = [(base, line.kv_ps, line.constant_ps) for base, line in zip(bases, form.lines, strict=True)]
        self._form = form

    def add(self, die: int, base_tokens: int) -> None:
        """A sequence joins; it will hold `base_tokens + G` tokens of KV."""
        self._regroup(die, 1, base_tokens)

    def remove(self, die: int, base_tokens: int) -> None:
        """A sequence leaves."""
        self._regroup(die, -1, -base_tokens)

    def _regroup(self, die: int, more_requests: int, more_tokens: int) -> None:
        groups, fullest = self._groups, self._fullest
        requests = self._requests[die]
        if requests:
            group = groups[requests]
            if group.pop(die) == fullest.get(requests):
                del fullest[requests]
            if not group:
                del groups[requests]
        requests += more_requests
        tokens = self._base_tokens[die] + more_tokens
        self._requests[die] = requests
        self._base_tokens[die] = tokens
        if requests:
            group = groups.get(requests)
            if group is None:
                groups[requests] = {die: tokens}
                fullest[requests] = tokens
            else:
                group[die] = tokens
                most = fullest.get(requests)
                if most is not None and tokens > most:
                    fullest[requests] = tokens

    def span(self, step: int, grown: int, num_steps: int) -> tuple[int, int, int]:
        """The longest run from `step` on, where G is `grown`, at most `num_steps`, with one slowest line throughout.

        Answers its number of steps, offset and slope: a step lasts `offset_ps + slope_ps * G`.
        """
        lines = self._longest_lines()
        longest_ps = best_slope = best_offset = -1
        for slope, offset in lines:
            length_ps = offset + slope * grown
            if length_ps > longest_ps or (length_ps == longest_ps and slope > best_slope):
                longest_ps, best_slope, best_offset = length_ps, slope, offset
        # Only a steeper line can overtake the slowest.
        for slope, offset in lines:
            if slope > best_slope:
                overtaken = (best_offset - offset) // (slope - best_slope) + 1
                num_steps = min(num_steps, self._growth.first_step_reaching(overtaken) - step)
        return num_steps, best_offset, best_slope

    def _longest_lines(self) -> list[tuple[int, int]]:
        """(slope, offset) of each line of the fullest die of each group."""
        lines: list[tuple[int, int]] = []
        for requests, group in self._groups.items():
            tokens = self._fullest.get(requests)
            if tokens is None:
                tokens = self._fullest[requests] = max(group.values())
            for base_ps, kv_ps, constant_ps in self._lines:
                lines.append((kv_ps * requests, base_ps[requests] + constant_ps + kv_ps * tokens))
        return lines
