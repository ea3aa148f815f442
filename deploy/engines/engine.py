"""One engine: all components of a system of one instance, on the event loop of this process and on one stepper.

Nothing is on its way between them, so that nothing is late but what clients send: an engine takes the steps of a
replay on the virtual clock of the requests that it was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from msgspec.structs import replace

from deploy.live.session import STREAM_REPORT_INTERVAL_S, ControlParts
from deploy.live.shown import Page, metrics_text
from deploy.system.blueprint import Blueprint
from deploy.system.metric_layout import metric_layout
from scheduler.gateway.gateway_source import GatewaySource
from scheduler.metrics.export.exposition import OPENMETRICS_TYPE, TEXT_TYPE
from scheduler.metrics.export.registry import process_registry
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subjects.engines import EngineTotals
from scheduler.protocol.component import NEVER_NS, Around, Component
from scheduler.protocol.errors import ClusterError
from scheduler.protocol.messages import Message
from scheduler.runtime.clock import NS_PER_S, LiveClock
from scheduler.runtime.live import LiveEnd, LiveRuntime
from workers.cache.heard_tree import StoreListener
from workers.cache.store import BlockStore

NAMES: Final = ("vllm",)
"""The naming schemes under which an engine's metrics are exported."""


class EngineState(StrEnum):
    """Whether requests are taken."""

    SERVING = "serving"
    ASLEEP = "asleep"
    ENDING = "ending"


WHY_NOT: Final[Mapping[EngineState, str]] = {
    EngineState.ASLEEP: "the engine sleeps; POST /wake_up before requests",
    EngineState.ENDING: "the engine is ending, and takes no more requests",
}


class _NoHosts:
    """A `WorkerTransport` to nobody: all components are here."""

    hosts: Mapping[str, Sequence[str]] = {}

    async def send(self, host: str, envelope: bytes) -> bytes:
        """There is no such host."""
        raise ClusterError(f"there is no host {host}")

    async def revive(self, host: str, sender: str, began_ns: int) -> int:
        """There is no such host."""
        raise ClusterError(f"there is no host {host}")

    def waits_for(self, host: str) -> str:
        """Nothing."""
        return ""


class Engine:
    """A `Serving` session that is the whole of its system; `speed` emulated seconds to one on the wall.

    Its metrics say that it serves `model`. Emulated time begins when it is made.
    """

    def __init__(self, blueprint: Blueprint, model: str, speed: float = 1.0) -> None:
        self.blueprint: Final = blueprint
        self.speed: Final = speed
        self.state = EngineState.SERVING
        core, settings = blueprint.make_core(), blueprint.settings
        self.core: Final = core
        self.gateway: Final = GatewaySource(blueprint.block_tokens)
        slo, cap_w = settings.requests.judged_slo, settings.power.cap_w or 0.0
        self.parts = ControlParts(core, (self.gateway,), lambda: None, slo, cap_w, core, gateway=self.gateway)
        interval_ns = int(STREAM_REPORT_INTERVAL_S * NS_PER_S * speed)
        workers = [blueprint.make_worker(address, interval_ns) for address in blueprint.worker_addresses]
        self._caches = list(_own_caches(workers))
        self._clock = LiveClock.in_s(0.0, speed, is_sharp=True)
        components = [self.gateway, core, *workers]
        self._runtime = LiveRuntime(components, core.address, _NoHosts(), self._clock, keep_open=True)
        layout = metric_layout(blueprint, {model: blueprint.worker_addresses}, NAMES)
        self._totals = LiveTotals(replace(layout, model=model))
        self._totals.begin(core.table, speed, self._runtime.lateness, is_replay=False, slo=slo, power_cap_w=cap_w)
        core.add_guest(self._totals)
        core.state.decision_logs.append(self._totals.decisions)
        self._process = process_registry()

    def now_ns(self, ago_s: float = 0.0) -> int:
        """Emulated time, so many seconds ago on the wall; not before it began."""
        return max(self._clock.now_ns() - int(ago_s * NS_PER_S * self.speed), 0)

    def tell(self, message: Message, at_ns: int = NEVER_NS) -> None:
        """Say something to the core as of a time that is past, or now."""
        self._runtime.tell(message, at_ns)

    async def run(self) -> LiveEnd:
        """Serve until `stop`; raises what a component raised."""
        return await self._runtime.run()

    def stop(self) -> None:
        """End at once: what is open ends as interrupted."""
        self._runtime.stop()

    @property
    def num_open(self) -> int:
        """Requests that have not ended."""
        return self.gateway.num_open

    @property
    def kv_capacity_tokens(self) -> int:
        """KV tokens that its instances hold."""
        return sum(one.kv_capacity_tokens for one in self.blueprint.live_instances())

    def page(self, _path: str, accept: str) -> Page:
        """The page of metrics, as of now; not to be written while a component is at work."""
        is_openmetrics = "application/openmetrics-text" in accept
        text = metrics_text(self._snapshot(), self._process, openmetrics=is_openmetrics)
        return Page(HTTPStatus.OK, OPENMETRICS_TYPE if is_openmetrics else TEXT_TYPE, text.encode())

    def load(self) -> tuple[int, int, int]:
        """Requests at work, requests that wait, and KV tokens that are held."""
        snapshot = self._snapshot()
        engines, instances = snapshot[EngineTotals], snapshot.layout.instances
        tokens = sum(u * one.kv_capacity_tokens for u, one in zip(engines.kv_usage, instances, strict=True))
        return sum(engines.running), sum(engines.waiting), round(tokens)

    def _snapshot(self) -> Snapshot:
        return self._totals.snapshot(self.now_ns())

    def listen(self, listener: StoreListener) -> bool:
        """Have what its prefix cache takes and drops told; False if it has none that can be listened to."""
        return bool(self._caches) and all(cache.listen(listener) for cache in self._caches)

    def reset_prefix_cache(self) -> bool:
        """Empty the prefix cache; False, and nothing is done, while a request relies on what it found there."""
        if any(cache.num_open for cache in self._caches):
            return False
        return all(cache.clear() for cache in self._caches)


def _own_caches(workers: Iterable[Component]) -> Iterable[BlockStore]:
    """The prefix caches of instances."""
    for worker in workers:
        one: object = worker
        while isinstance(one, Around):
            one = one.inner
        cache = getattr(one, "cache", None)
        if isinstance(cache, BlockStore):
            yield cache
