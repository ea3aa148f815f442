"""How long prompts and outputs are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import cast

import numpy as np
import numpy.typing as npt

from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.synthetic.log_normal import draw_log_normal
from scheduler.sources.synthetic.workload import EmpiricalLengths, Lengths

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class LengthSampler:
    """Draws token counts of one distribution from one stream."""

    def __init__(self, lengths: Lengths, generator: np.random.Generator) -> None:
        self._lengths = lengths
        self._generator = generator
        if isinstance(lengths, EmpiricalLengths):
            self._values = np.array(lengths.values, np.int64)
            self._cumulated: Floats = np.cumsum(np.array(lengths.weights, np.float64))

    def draw(self, count: int) -> Integers:
        """Token counts, shape (count,), each at least 1."""
        if isinstance(self._lengths, EmpiricalLengths):
            return draw_weighted(self._values, self._cumulated, self._generator, count)
        drawn = draw_log_normal(self._lengths.mean, self._lengths.cv, self._generator, count)
        return np.clip(np.rint(drawn), self._lengths.minimum, self._lengths.maximum).astype(np.int64)


def draw_weighted(values: Integers, cumulated: Floats, generator: np.random.Generator, count: int) -> Integers:
    """Draws of the values, shape (count,), by the running sums of their weights."""
    places: Floats = generator.random(count) * cumulated[-1]
    # The stubs of numpy 2 leave this one unknown.
    found = cast(Integers, np.searchsorted(cumulated, places, side="right"))
    # Rounding may lift a place onto the sum itself, one past the last value.
    return values[np.minimum(found, len(values) - 1)]


def count_lengths(blocks: Iterable[ArrivalBlock]) -> tuple[EmpiricalLengths, EmpiricalLengths]:
    """The histograms of prompt and output lengths of a trace."""
    prompts: Counter[int] = Counter()
    outputs: Counter[int] = Counter()
    for block in blocks:
        prompts.update(block.prompt_tokens)
        outputs.update(block.output_tokens)
    return _histogram(prompts), _histogram(outputs)


def _histogram(counts: Counter[int]) -> EmpiricalLengths:
    pairs = sorted(counts.items())
    return EmpiricalLengths(tuple(value for value, _ in pairs), tuple(float(count) for _, count in pairs))
