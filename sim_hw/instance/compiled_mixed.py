"""The mixed step as an emulated aggregated instance needs it: from the time of each of its parts alone.

What the two parts save together (`sim_hw.steps.mixed_step`) depends on two loads, the requests of a die and the tokens
that are computed for each die, and stands in a table of both; between its nodes it is interpolated. An entry is made
when it is first asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from math import ceil, log2
from typing import Final

from sim_hw.instance.compiled_decode import FEWEST_REQUESTS
from sim_hw.operators.layout import tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.steps.mixed_step import MixedModel, mixed_model

NODES_PER_OCTAVE: Final = 6
"""Of either load: between two nodes a load grows by 12 %."""

PS_PER_S: Final = 1e12
PS_PER_NS: Final = 1_000


class CompiledMixed:
    """The steps of one instance, with up to `max_requests_per_die` requests on each of its dies and `tokens_per_die`
    computed for each in a step."""

    def __init__(self, model: MixedModel, max_requests_per_die: int, tokens_per_die: float) -> None:
        self._model = model
        self._num_dies = model.decode.point.num_ranks
        # Ranks that share the layers of a dense model work for what all of them were given.
        self._ranks = tensor_ranks(model.decode.point)
        self._requests = _nodes(FEWEST_REQUESTS, max_requests_per_die)
        self._tokens = _nodes(1.0 / self._num_dies, tokens_per_die)
        self._saved: dict[tuple[int, int], float] = {}

    def mixed_ps(self, decode_ps: int, prefill_ns: int, num_running: int, computed_tokens: int) -> int:
        """Picoseconds of a step whose parts alone last so long, of so many sequences and tokens of the whole
        instance."""
        prefill_ps = prefill_ns * PS_PER_NS
        saved_ps = round(PS_PER_S * self._saved_s(num_running / self._num_dies, computed_tokens / self._num_dies))
        return max(decode_ps, prefill_ps, decode_ps + prefill_ps - saved_ps)

    def _saved_s(self, requests: float, tokens: float) -> float:
        row, across = _place(self._requests, requests)
        column, along = _place(self._tokens, tokens)
        first, second = (
            self._entry(at, column) + along * (self._entry(at, column + 1) - self._entry(at, column))
            for at in (row, row + 1)
        )
        return max(0.0, first + across * (second - first))

    def _entry(self, row: int, column: int) -> float:
        found = self._saved.get((row, column))
        if found is None:
            requests, tokens = self._ranks * self._requests[row], self._ranks * self._tokens[column]
            found = self._saved[row, column] = self._model.saved_s(requests, tokens)
        return found


def _nodes(first: float, last: float) -> list[float]:
    steps = max(1, ceil(NODES_PER_OCTAVE * log2(last / first)))
    return [first * 2.0 ** (step / NODES_PER_OCTAVE) for step in range(steps + 1)]


def _place(nodes: list[float], load: float) -> tuple[int, float]:
    """The node at or below a load and how far it is to the next; a load below all counts as the first."""
    load = max(nodes[0], load)
    lower = min(bisect_right(nodes, load), len(nodes) - 1) - 1
    return lower, (load - nodes[lower]) / (nodes[lower + 1] - nodes[lower])


def compile_mixed(
    decode: DecodePoint, prefill: PrefillPoint, max_requests_per_die: int, tokens_per_die: float
) -> CompiledMixed:
    """For steps of the instance whose two parts have these points. Raises `HardwareModelError` for one that cannot
    exist."""
    decode.check()
    prefill.check()
    return CompiledMixed(mixed_model(decode, prefill), max(1, max_requests_per_die), max(1.0, tokens_per_die))
