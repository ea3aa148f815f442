"""Instances whose process is there again and that load their model: flows of the fabric, until which they take nothing.

Each instance has its sources in the order in which it tries them. If no source is reached, it tries again whenever
something is mended or joins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from scheduler.core.config import CORE_ADDRESS, FABRIC_ADDRESS
from scheduler.protocol.messages import CancelTransfer, Message, Plane, StartTransfer, TransferKind, WorkersJoined

Said = list[tuple[str, Message]]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where weights lie, as an end of transfers, and how they come from there; `name` is for a person."""

    kind: TransferKind
    plane: Plane
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """What an instance loads before it is ready, in tokens' worth of KV; `sources` of each instance, by address."""

    num_tokens: int
    sources: Mapping[str, tuple[ModelSource, ...]] = field(default_factory=dict[str, tuple[ModelSource, ...]])


@dataclass(slots=True)
class Absence:
    """What became of a component that was lost: its process came back, and it was ready again; None for not yet."""

    address: Final[str]
    lost_ns: Final[int]
    started_ns: int | None = None
    ready_ns: int | None = None
    source: ModelSource | None = None

    def line(self) -> str:
        """For a person."""
        line = f"{self.address} was lost at {self.lost_ns / 1e9:,.3g} s"
        if self.ready_ns is None or self.started_ns is None:
            return f"{line} and was not ready again before the end"
        if self.source is None:
            return f"{line}, back and empty at {self.ready_ns / 1e9:,.5g} s"
        load_s = (self.ready_ns - self.started_ns) / 1e9
        line += f", started at {self.started_ns / 1e9:,.5g} s"
        return f"{line} and loaded its model from the {self.source.name} in {load_s:,.3g} s"


class ModelLoads:
    """Says the loads to the fabric, numbered by `next_id`, and who is ready to the core."""

    def __init__(self, weights: ModelWeights, next_id: Callable[[], int]) -> None:
        self._weights = weights
        self._next_id = next_id
        # Of each instance that loads, which of its sources it tries; and those for which no source was reached.
        self._tried: dict[str, int] = {}
        self._stranded: dict[str, None] = {}
        self._under_way: dict[int, str] = {}
        self._absences: dict[str, Absence] = {}
        self._past: list[Absence] = []

    def lose(self, now_ns: int, addresses: Collection[str]) -> Said:
        """These are gone: what they loaded is, too."""
        said = self._cancel(addresses)
        for address in addresses:
            self._past.append(Absence(address, now_ns))
            self._absences[address] = self._past[-1]
        return said

    def start(self, now_ns: int, addresses: Collection[str]) -> Said:
        """Their processes are there: instances begin to load, all others are ready."""
        said: Said = []
        ready: list[str] = []
        for address in addresses:
            absence = self._absences.get(address)
            if absence is not None:
                absence.started_ns = now_ns
            if self._weights.sources.get(address):
                self._tried[address] = 0
                said.append(self._load(address))
            else:
                ready.append(address)
        return [*said, *self._join(now_ns, ready)]

    def on_done(self, now_ns: int, transfer_id: int) -> Said:
        """A flow has ended, of a load or of something else; nothing is said of something else."""
        address = self._under_way.pop(transfer_id, None)
        if address is None:
            return []
        source = self._weights.sources[address][self._tried.pop(address)]
        if address in self._absences:
            self._absences[address].source = source
        return self._join(now_ns, [address])

    def on_failed(self, transfer_id: int) -> Said:
        """A flow has no way, of a load or of something else: the next source is tried."""
        address = self._under_way.pop(transfer_id, None)
        if address is None:
            return []
        self._tried[address] += 1
        if self._tried[address] < len(self._weights.sources[address]):
            return [self._load(address)]
        self._tried[address] = 0
        self._stranded[address] = None
        return []

    def try_again(self) -> Said:
        """Something is mended or has joined: who reached no source tries all of them once more."""
        stranded, self._stranded = self._stranded, {}
        return [self._load(address) for address in stranded]

    def say_again(self) -> Said:
        """The fabric is new and empty."""
        addresses, self._under_way = list(self._under_way.values()), {}
        return [self._load(address) for address in addresses]

    def give_up(self) -> Said:
        """There is nothing left to do for which anybody would have to be ready."""
        return self._cancel(set(self._under_way.values())) if self._under_way else []

    def notes(self) -> list[str]:
        """A line for each component that was lost."""
        return [absence.line() for absence in self._past]

    def _load(self, address: str) -> tuple[str, Message]:
        source, transfer_id = self._weights.sources[address][self._tried[address]], self._next_id()
        self._under_way[transfer_id] = address
        ends, amount = (source.address, address), [self._weights.num_tokens]
        return FABRIC_ADDRESS, StartTransfer(transfer_id, source.kind, source.plane, *ends, amount, [], True)

    def _join(self, now_ns: int, addresses: list[str]) -> Said:
        for address in addresses:
            absence = self._absences.pop(address, None)
            if absence is not None:
                absence.ready_ns = now_ns
        return [(CORE_ADDRESS, WorkersJoined(addresses))] if addresses else []

    def _cancel(self, addresses: Collection[str]) -> Said:
        for address in addresses:
            self._tried.pop(address, None)
            self._stranded.pop(address, None)
        gone = [transfer_id for transfer_id, address in self._under_way.items() if address in addresses]
        for transfer_id in gone:
            del self._under_way[transfer_id]
        return [(FABRIC_ADDRESS, CancelTransfer(transfer_id)) for transfer_id in gone]
