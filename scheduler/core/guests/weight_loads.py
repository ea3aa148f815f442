"""Instances whose process is there again and that load their model: flows of the fabric, until which they take nothing.

Each instance has its sources in the order in which it tries them; the last is the object store, which has every
version. What a source before it does not hold is brought there first, once for all who wait for it. If no source is
reached, an instance tries again whenever something is repaired or joins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import Struct, field

from scheduler.core.guests.weight_cache import WeightCache
from scheduler.protocol.addresses import CORE_ADDRESS, FABRIC_ADDRESS
from scheduler.protocol.component import Output, Outputs
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import CancelTransfer, StartTransfer, WorkersJoined

FIRST_VERSION: Final = ""
"""What all instances have when a run begins."""


class ModelSource(Struct, frozen=True):
    """Where weights lie, as an end of transfers, and how they come from there; `name` is for a person.

    It keeps `num_versions`, dealt out to `num_servers`.
    """

    kind: TransferKind
    plane: Plane
    address: str
    name: str
    num_versions: int = 1
    num_servers: int = 1


class ModelWeights(Struct, frozen=True):
    """What an instance loads before it is ready, in tokens' worth of KV; `sources` of each instance, by address.

    `others` load another number, where precisions differ; who shares a source loads as many.
    """

    num_tokens: int
    sources: Mapping[str, tuple[ModelSource, ...]] = field(default_factory=dict[str, tuple[ModelSource, ...]])
    others: Mapping[str, int] = field(default_factory=dict[str, int])

    def tokens_of(self, address: str) -> int:
        """What one instance loads."""
        return self.others.get(address, self.num_tokens)


class Downtime(Struct):
    """What became of a component that was lost: its process came back, and it was ready again; None for not yet.

    `version`: the one for which it gave up its model; None if it did not."""

    address: Final[str]
    lost_ns: Final[int]
    version: Final[str | None] = None
    started_ns: int | None = None
    ready_ns: int | None = None
    source: ModelSource | None = None
    is_fetched: bool = False

    def line(self) -> str:
        """For a person."""
        why = "was lost" if self.version is None else f"gave up its model for {self.version}"
        line = f"{self.address} {why} at {self.lost_ns / 1e9:,.5g} s"
        if self.ready_ns is None or self.started_ns is None:
            return f"{line} and was not ready again before the end"
        if self.source is None:
            return f"{line}, back and empty at {self.ready_ns / 1e9:,.5g} s"
        if self.version is None:
            line += f", started at {self.started_ns / 1e9:,.5g} s"
        fetched = ", to which it was fetched first," if self.is_fetched else ""
        load_s = (self.ready_ns - self.started_ns) / 1e9
        model = "its model" if self.version is None else "that"
        return f"{line} and loaded {model} from the {self.source.name}{fetched} in {load_s:,.3g} s"


class WeightLoads:
    """Says the loads to the fabric, numbered by `next_id`, and who is ready to the core."""

    def __init__(self, weights: ModelWeights, next_id: Callable[[], int]) -> None:
        self._weights = weights
        self._next_id = next_id
        # What sources but the last hold, by address.
        self._kept = {
            source.address: WeightCache(
                weights.tokens_of(address), source.num_versions, source.num_servers, FIRST_VERSION
            )
            for address, sources in weights.sources.items()
            for source in sources[:-1]
        }
        # Which version an instance is to have, if not the first, and who has given up its model for that.
        self._versions: dict[str, str] = {}
        self._changed: set[str] = set()
        # Of each instance that loads, which of its sources it tries; and those for which no source was reached.
        self._tried: dict[str, int] = {}
        self._stranded: dict[str, None] = {}
        self._loading: dict[int, str] = {}
        # What is brought to a source: where, which version, and who waits for it.
        self._fetching: dict[int, tuple[str, str, list[str]]] = {}
        self._absences: dict[str, Downtime] = {}
        self._past: list[Downtime] = []

    def has(self, address: str, version: str) -> bool:
        """Whether this is the version that an instance is to have."""
        return self._versions.get(address, FIRST_VERSION) == version

    def change(self, address: str, version: str, *, is_drained: bool) -> None:
        """What an instance loads when it starts next; it is lost for that, or for another reason."""
        self._versions[address] = version
        if is_drained:
            self._changed.add(address)

    def begin_without(self, addresses: Collection[str]) -> None:
        """These are not there when a run begins, and nothing is in memories that are theirs alone."""
        for address in addresses:
            for source in self._weights.sources.get(address, ())[:-1]:
                if source.address.startswith(f"{address}/"):
                    self._kept[source.address].clear()

    def lose(self, now_ns: int, addresses: Collection[str], *, as_commanded: bool = False) -> Outputs:
        """These are gone, and what they loaded is, too; of a source its servers take their part along. Nobody is told
        of those that went `as_commanded`."""
        of_lost = [a for a in self._tried if a not in addresses and self._source(a).address in addresses]
        outputs = self._cancel({*addresses, *of_lost})
        for address in of_lost:
            self._strand(address)
        for address in addresses:
            version = self._versions[address] if address in self._changed else None
            self._changed.discard(address)
            if as_commanded:
                self._absences.pop(address, None)
                continue
            self._past.append(Downtime(address, now_ns, version))
            self._absences[address] = self._past[-1]
        self._change_servers(addresses, WeightCache.lose_server)
        return outputs

    def drain(self, addresses: Collection[str]) -> None:
        """These servers hand over what they hold."""
        self._change_servers(addresses, WeightCache.drain_server)

    def join(self, addresses: Collection[str]) -> Outputs:
        """These are there again; who reached no source tries all of them once more."""
        self._change_servers(addresses, WeightCache.add_server)
        return self.try_again()

    def start(self, now_ns: int, addresses: Collection[str]) -> Outputs:
        """Their processes are there: instances begin to load, all others are ready. Who loads already begins anew."""
        outputs: list[Output] = [*self._cancel(addresses)] if any(one in self._tried for one in addresses) else []
        ready: list[str] = []
        for address in addresses:
            if address in self._absences:
                self._absences[address].started_ns = now_ns
            if self._weights.sources.get(address):
                self._tried[address] = 0
                outputs += self._begin(address)
            else:
                ready.append(address)
        return [*outputs, *self._join(now_ns, ready)]

    def on_done(self, now_ns: int, transfer_id: int) -> Outputs:
        """A flow has ended, of a load or of something else; nothing is said of something else."""
        if transfer_id in self._fetching:
            return self._on_fetched(transfer_id)
        address = self._loading.pop(transfer_id, None)
        if address is None:
            return []
        if address in self._absences:
            self._absences[address].source = self._source(address)
        del self._tried[address]
        return self._join(now_ns, [address])

    def _on_fetched(self, transfer_id: int) -> Outputs:
        to, version, waiting = self._fetching.pop(transfer_id)
        self._kept[to].store(version)
        for address in waiting:
            if address in self._absences:
                self._absences[address].is_fetched = True
        return [said for address in waiting for said in self._begin(address)]

    def on_failed(self, transfer_id: int) -> Outputs:
        """A flow has no way, of a load or of something else: the next source is tried."""
        address = self._loading.pop(transfer_id, None)
        waiting = self._fetching.pop(transfer_id)[2] if transfer_id in self._fetching else [address] if address else []
        outputs: list[Output] = []
        for one in waiting:
            if self._tried[one] + 1 < len(self._weights.sources[one]):
                self._tried[one] += 1
                outputs += self._begin(one)
            else:
                self._strand(one)
        return outputs

    def try_again(self) -> Outputs:
        """Something is repaired: who reached no source tries all of them once more."""
        stranded, self._stranded = self._stranded, {}
        return [said for address in stranded for said in self._begin(address)]

    def say_again(self) -> Outputs:
        """The fabric is new and empty."""
        addresses = self._under_way()
        self._loading, self._fetching = {}, {}
        return [said for address in addresses for said in self._begin(address)]

    def give_up(self) -> Outputs:
        """There is nothing left to do for which anybody would have to be ready."""
        return self._cancel(self._under_way()) if self._tried else []

    def warnings(self) -> list[str]:
        """A line for each component that was lost or changed its model."""
        return [absence.line() for absence in self._past]

    def _under_way(self) -> list[str]:
        return [*self._loading.values(), *(address for _, _, waiting in self._fetching.values() for address in waiting)]

    def _source(self, address: str) -> ModelSource:
        return self._weights.sources[address][self._tried[address]]

    def _begin(self, address: str) -> Outputs:
        source, version = self._source(address), self._versions.get(address, FIRST_VERSION)
        missing = self._kept[source.address].missing_tokens(version) if source.address in self._kept else 0
        transfer_id, ends, tokens = self._next_id(), (source.address, address), self._weights.tokens_of(address)
        if missing:
            for to, wanted, waiting in self._fetching.values():
                if (to, wanted) == (source.address, version):
                    waiting.append(address)
                    return []
            self._fetching[transfer_id] = (source.address, version, [address])
            source, tokens = self._weights.sources[address][-1], missing
            ends = source.address, ends[0]
        else:
            self._loading[transfer_id] = address
        return [(FABRIC_ADDRESS, StartTransfer(transfer_id, source.kind, source.plane, *ends, [tokens], [], True))]

    def _strand(self, address: str) -> None:
        self._tried[address] = 0
        self._stranded[address] = None

    def _join(self, now_ns: int, addresses: list[str]) -> Outputs:
        for address in addresses:
            absence = self._absences.pop(address, None)
            if absence is not None:
                absence.ready_ns = now_ns
        return [(CORE_ADDRESS, WorkersJoined(addresses))] if addresses else []

    def _change_servers(self, addresses: Collection[str], change: Callable[[WeightCache, int], None]) -> None:
        for pool, kept in self._kept.items():
            for address in addresses:
                number = address.removeprefix(f"{pool}/")
                if number != address and number.isdecimal():
                    change(kept, int(number))

    def _cancel(self, addresses: Collection[str]) -> Outputs:
        for address in addresses:
            self._tried.pop(address, None)
            self._stranded.pop(address, None)
        for _, _, waiting in self._fetching.values():
            waiting[:] = [address for address in waiting if address not in addresses]
        gone = [transfer_id for transfer_id, address in self._loading.items() if address in addresses]
        gone += [transfer_id for transfer_id, (_, _, waiting) in self._fetching.items() if not waiting]
        for transfer_id in gone:
            self._loading.pop(transfer_id, None)
            self._fetching.pop(transfer_id, None)
        return [(FABRIC_ADDRESS, CancelTransfer(transfer_id)) for transfer_id in gone]
