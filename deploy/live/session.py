"""One run of control-plane parts against the hosts of a cluster: from fresh components to their last account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, Protocol

from msgspec import Struct, field

from scheduler.core.request_table import RequestTable
from scheduler.core.scheduler import Scheduler
from scheduler.gateway.gateway_source import GatewaySource
from scheduler.metrics.slo import Slo
from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.messages import Message
from scheduler.runtime.clock import NS_PER_S, LiveClock
from scheduler.runtime.journal import JournalHeader, JournalledCore, JournalWriter
from scheduler.runtime.live import LiveEnd, LiveRuntime
from scheduler.runtime.peer import sender_name
from scheduler.sources.faults import FaultSource
from scheduler.sources.provisioner import Forwarder
from workers.ray_shell.carrier import HostCarrier

ZERO_DELAY_S: Final = 0.5
"""Wall seconds from the last worker made to clock zero: time for all to hear of it, and to greet each other."""

REPORT_INTERVAL_S: Final = 0.020
"""Wall seconds that a run of decode steps may go unreported."""

STREAM_REPORT_INTERVAL_S: Final = 0.002
"""The same in a session with clients that read tokens as they come: each step is reported by itself, but for steps
shorter than what a report costs."""


STREAM_LEAD_S: Final = 0.004
"""Wall seconds by which instances of such a session run ahead, so that what they report is with the control plane when
it falls due: about twice the median hop (docs/live.md). A request joins a busy instance so much later."""


class Core(Component, Protocol):
    """A scheduler core, or what stands in its place: a component with an account of all requests."""

    table: RequestTable


class ControlParts(Struct, frozen=True):
    """What a factory makes of a run's plain data.

    Without `sources`, or with a `gateway` among them, the run goes on until it is stopped. What `keep` returns when the
    run has ended goes back to the driver, pickled. Requests are judged by `slo`.
    `power_cap_w` is 0 where there is none. `scheduler` is the core if that has guests.
    `concurrency`: how many clients wait, by the class that they ask for. `autoscaler`: the name of who says how many
    instances there are.
    """

    core: Core
    sources: Sequence[Component]
    keep: Callable[[], Any]
    slo: Slo | None = None
    power_cap_w: float = 0.0
    scheduler: Scheduler | None = None
    concurrency: Mapping[str, int] = field(default_factory=dict[str, int])
    gateway: GatewaySource | None = None
    autoscaler: str = ""


class RunSpec(Struct, frozen=True):
    """A run as plain data.

    `make_control` names a function `(spec) -> ControlParts` as `module:name`; the workers are made from `spec` too,
    with `report_interval_ns` and `began_ns` besides. With a `journal_path` all that the core is given is written there
    under `journal_header`. `title` tells people what runs. What a run `before` it keeps, which nobody watches, goes
    into its `spec` as `profile`. Steps may go unreported for `report_interval_s` on the wall, of which instances are
    ahead by `lead_s`.
    """

    make_control: str
    spec: dict[str, Any]
    speed: float = 1.0
    journal_path: str = ""
    journal_header: JournalHeader = field(default_factory=JournalHeader)
    title: str = ""
    before: RunSpec | None = None
    report_interval_s: float = REPORT_INTERVAL_S
    lead_s: float = 0.0

    @property
    def worker_spec(self) -> dict[str, Any]:
        """What workers are made from."""
        return {**self.spec, "report_interval_ns": int(self.report_interval_s * NS_PER_S * self.speed)}

    @property
    def lead_ns(self) -> int:
        """The lead in emulated time."""
        return int(self.lead_s * NS_PER_S * self.speed)


class Session:
    """`begin`, then `run`; meanwhile envelopes come in by `deliver`.

    `name` tells it from others on the same hosts. Usage of the addresses that are `metered` is asked for. It
    waits for `patience_s` on the wall for an operator's repair when nothing is due while requests are open.
    """

    def __init__(
        self,
        name: str,
        run: RunSpec,
        parts: ControlParts,
        transport: HostCarrier,
        metered: Sequence[str] = (),
        patience_s: float = 0.0,
    ) -> None:
        self.parts: Final = parts
        self.run_spec: Final = run
        self._name = name
        self._transport = transport
        self._metered = metered
        self._patience_s = patience_s
        self._journal = ExitStack()
        self._runtime: LiveRuntime | None = None
        self._clock: LiveClock | None = None
        self._is_stopped = False

    @property
    def runtime(self) -> LiveRuntime | None:
        """The loop, once clock zero is known."""
        return self._runtime

    @property
    def run_s(self) -> float:
        """Wall seconds since clock zero."""
        return self.now_ns() / NS_PER_S / self.run_spec.speed

    def now_ns(self, ago_s: float = 0.0) -> int:
        """Emulated time, so many seconds ago on the wall; 0 before clock zero."""
        since_ns = int(ago_s * NS_PER_S * self.run_spec.speed)
        return 0 if self._clock is None else max(self._clock.now_ns() - since_ns, 0)

    async def begin(self) -> None:
        """Have all workers made, agree on clock zero, start all clocks."""
        hosts = self._transport.hosts
        await self._transport.assign({host: sender_name(host, self._name, 0) for host in hosts})
        run, parts = self.run_spec, self.parts
        self._clock = LiveClock.in_s(ZERO_DELAY_S, run.speed, is_sharp=run.lead_s > 0)
        core: Component = parts.core
        if run.journal_path:
            core = JournalledCore(
                core, self._journal.enter_context(JournalWriter(run.journal_path, run.journal_header))
            )
        self._runtime = LiveRuntime(
            [*parts.sources, Forwarder(), core],
            core.address,
            self._transport,
            self._clock,
            session=self._name,
            metered=self._metered,
            keep_open=not parts.sources or parts.gateway is not None,
            num_open=lambda: parts.core.table.num_open,
            patience_s=self._patience_s,
            lead_ns=run.lead_ns,
        )
        if self._is_stopped:
            self._runtime.stop()
        await self._transport.begin(self._clock)

    async def zero(self) -> None:
        """Return when emulated time begins."""
        assert self._clock is not None
        while self._clock.now_ns() < 0:
            await self._clock.wait(asyncio.Event(), 0)

    async def run(self) -> LiveEnd:
        """Until nothing is due any more, or `stop`."""
        assert self._runtime is not None
        with self._journal:
            return await self._runtime.run()

    def deliver(self, data: bytes) -> None:
        """Take an envelope from a host."""
        if self._runtime is not None:
            self._runtime.deliver(data)

    def tell(self, message: Message, at_ns: int = NEVER_NS) -> None:
        """Say something to the core from outside, as of a time that is past, or now; nobody hears it before `begin` has
        ended."""
        if self._runtime is not None:
            self._runtime.tell(message, at_ns)

    @property
    def faults(self) -> FaultSource | None:
        """What breaks parts as planned, if anything does."""
        return next((source for source in self.parts.sources if isinstance(source, FaultSource)), None)

    def stop(self) -> None:
        """End it at once."""
        self._is_stopped = True
        if self._runtime is not None:
            self._runtime.stop()

    def progress(self) -> dict[str, Any]:
        """How far it is."""
        runtime, table = self._runtime, self.parts.core.table
        seen: dict[str, Any] = {"num_requests": table.num_requests, "num_open": table.num_open}
        if runtime is None:
            return seen
        hops = runtime.lateness.cost(self.run_spec.speed)
        return seen | {
            "emulated_s": self.now_ns() / NS_PER_S,
            "num_messages": runtime.num_messages,
            "hop_p50_ms": hops.p50_wall_ns / 1e6,
            "hop_p99_ms": hops.p99_wall_ns / 1e6,
            "patience_left_s": runtime.patience.left_s,
            "waiting": runtime.waiting(),
        }
