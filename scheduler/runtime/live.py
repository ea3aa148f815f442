"""The live runtime: an asyncio loop that hosts the control plane and talks to workers over a `WorkerTransport`.

Main loop: `_turn` takes what came in, wakes what fell due and sends what was said; `run` waits for the next of these.
The time rule is in `scheduler.protocol.hosting`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from scheduler.protocol.component import NEVER_NS, Component, Outputs
from scheduler.protocol.envelope import (
    MAX_IN_FLIGHT,
    Envelope,
    Inbound,
    Item,
    Outbox,
    decode_envelope,
    encode_envelope,
)
from scheduler.protocol.errors import ClusterError
from scheduler.protocol.hosting import HostedComponents
from scheduler.protocol.messages import Message, RunEnded
from scheduler.runtime.clock import NS_PER_S, Clock
from scheduler.runtime.hops import HopCost, LatenessHistogram
from scheduler.runtime.virtual import Tap

CONTROL_NAME: Final = "control"
"""The sender's name on envelopes of the control plane."""

HEARTBEAT_S: Final = 2.0
"""Wall seconds after which a silent host is asked how it stands, so that a dead one is missed."""

END_S: Final = 15.0
"""Wall seconds that a host has to account for the run when it has ended."""

MAX_INBOX_ITEMS: Final = 200_000
"""Messages received and not yet handled; beyond it the control plane is hopelessly behind."""


class WorkerTransport(Protocol):
    """Carries envelopes to hosts of workers. What hosts say by themselves reaches `LiveRuntime.deliver`."""

    @property
    def hosts(self) -> Mapping[str, Sequence[str]]:
        """Names of the hosts, and the addresses of the components on each, in a fixed order."""
        ...

    async def send(self, host: str, envelope: bytes) -> bytes:
        """Deliver one envelope; answers the host's next one. A `ClusterError` if it cannot, within a deadline."""
        ...


@dataclass(frozen=True, slots=True)
class LiveEnd:
    """How a live run ended. `end_ns` is the time of its last event, as on the virtual clock."""

    end_ns: int
    interrupted: bool
    num_messages: int
    num_envelopes: int
    hops: HopCost
    warnings: list[str]


@dataclass(slots=True)
class _Peer:
    """A host as the control plane knows it. `deadline_ns` 0: not heard of yet."""

    name: Final[str]
    addresses: Final[Sequence[str]]
    outbox: Final[Outbox] = field(default_factory=lambda: Outbox(CONTROL_NAME))
    inbound: Final[Inbound] = field(default_factory=Inbound)
    num_in_flight: int = 0
    num_taken: int = 0
    deadline_ns: int = 0
    last_ns: int = 0

    def is_quiet(self) -> bool:
        """It has taken all that was sent, nothing is on its way, and it will do nothing by itself."""
        return (
            self.deadline_ns == NEVER_NS
            and not self.num_in_flight
            and not self.outbox
            and self.num_taken == self.outbox.num_sent
        )


class _Tapped:
    """The core, with everybody who listens to what it is given."""

    def __init__(self, core: Component, taps: Sequence[Tap]) -> None:
        self.address = core.address
        self.priority = core.priority
        self.deadline_ns = core.deadline_ns
        self._core = core
        self._taps = tuple(taps)

    def handle(self, now_ns: int, message: Message) -> Outputs:
        for tap in self._taps:
            tap(now_ns, message)
        outputs = self._core.handle(now_ns, message)
        self.deadline_ns = self._core.deadline_ns
        return outputs

    def wake(self, now_ns: int) -> Outputs:
        outputs = self._core.wake(now_ns)
        self.deadline_ns = self._core.deadline_ns
        return outputs


class LiveRuntime:
    """Runs `components` here (the core and the source) and all others on the transport's hosts.

    The run is over when nothing is due anywhere and nothing is on its way, the same condition as on the virtual clock.
    """

    def __init__(
        self,
        components: Sequence[Component],
        core_address: str,
        transport: WorkerTransport,
        clock: Clock,
        taps: Sequence[Tap] = (),
    ) -> None:
        local = [_Tapped(c, taps) if c.address == core_address else c for c in components]
        self._local = HostedComponents(local)
        self._core_address = core_address
        self._transport = transport
        self._clock = clock
        self._peers = {name: _Peer(name, addresses) for name, addresses in transport.hosts.items()}
        self._peer_of = {address: peer for peer in self._peers.values() for address in peer.addresses}
        self._inbox: list[Item] = []
        self._changed = asyncio.Event()
        self._sends: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None
        self._is_stopped = False
        self._heartbeat_ns = -NEVER_NS  # the first turn greets every host, before clock zero
        self._num_messages = 0
        self._num_envelopes = 0
        self.lateness = LatenessHistogram()

    @property
    def num_messages(self) -> int:
        """Messages handled here and sent to hosts so far."""
        return self._num_messages + self._local.num_handled

    def deliver(self, data: bytes) -> None:
        """Take an envelope from a host; never waits, so that the order of calls is the order of receipt."""
        try:
            self._accept(decode_envelope(data))
        except Exception as error:  # noqa: BLE001 - ends the run, which raises it
            self._fail(error)
        self._changed.set()

    def stop(self) -> None:
        """End the run at once."""
        self._is_stopped = True
        self._changed.set()

    async def run(self) -> LiveEnd:
        """Run until nothing is due any more or `stop`, then tell everybody; raises what a component or host raised."""
        try:
            while not self._is_stopped:
                self._changed.clear()
                self._turn()
                if self._is_over():
                    break
                await self._clock.wait(self._changed, self._next_ns())
                self._raise_error()
            return await self._end()
        finally:
            for task in self._sends:
                task.cancel()

    def _turn(self) -> None:
        # By due time: what one host said late must not push ahead the time of what another said before.
        inbox, self._inbox = sorted(self._inbox, key=_due_ns), []
        for address, due_ns, message in inbox:
            self._local.deliver(address, due_ns, message)
        now_ns = self._clock.now_ns()
        self._local.wake_until(now_ns)
        self._route()
        is_checking = now_ns >= self._heartbeat_ns
        if is_checking:
            self._heartbeat_ns = now_ns + int(HEARTBEAT_S * NS_PER_S * self._clock.speed)
        is_ending = self._local.deadline_ns == NEVER_NS
        for peer in self._peers.values():
            if peer.num_in_flight < MAX_IN_FLIGHT and peer.outbox:
                self._send(peer)
            elif not peer.num_in_flight and (is_checking or (is_ending and peer.deadline_ns <= now_ns)):
                # An empty envelope asks how it stands: its own deadlines may have passed without a word.
                self._send(peer)

    def _route(self) -> None:
        for item in self._local.take_said():
            peer = self._peer_of.get(item[0])
            if peer is None:
                raise ClusterError(f"no host has the component {item[0]!r}")
            peer.outbox.add(item)
            self._num_messages += 1

    def _next_ns(self) -> int:
        """When to turn again if nothing comes in."""
        next_ns = min(self._local.deadline_ns, self._heartbeat_ns)
        if self._local.deadline_ns == NEVER_NS:
            # The last requests: ask each host when its own deadline has passed, to see the end soon.
            waiting = [peer.deadline_ns for peer in self._peers.values() if not peer.num_in_flight]
            next_ns = min([next_ns, *waiting])
        return next_ns

    def _is_over(self) -> bool:
        return (
            self._local.deadline_ns == NEVER_NS
            and not self._inbox
            and all(peer.is_quiet() for peer in self._peers.values())
        )

    def _send(self, peer: _Peer) -> None:
        data = encode_envelope(peer.outbox.next(peer.inbound.num_received))
        peer.num_in_flight += 1
        self._num_envelopes += 1
        task = asyncio.create_task(self._exchange(peer, data))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _exchange(self, peer: _Peer, data: bytes) -> None:
        try:
            reply = await self._transport.send(peer.name, data)
        except Exception as error:  # noqa: BLE001 - ends the run, which raises it
            self._fail(error)
        else:
            self.deliver(reply)
        finally:
            peer.num_in_flight -= 1
            self._changed.set()

    def _accept(self, envelope: Envelope) -> None:
        peer = self._peers.get(envelope.sender)
        if peer is None:
            raise ClusterError(f"an envelope from {envelope.sender!r}, which is no host of this run")
        now_ns, add = self._clock.now_ns(), self.lateness.add
        for lateness_ns in envelope.lateness_ns:
            add(lateness_ns)
        for item in envelope.items:
            add(now_ns - item[1])
        for ready in peer.inbound.take(envelope):
            self._num_envelopes += 1
            peer.num_taken, peer.deadline_ns, peer.last_ns = ready.num_received, ready.deadline_ns, ready.last_ns
            self._inbox += ready.items
        if len(self._inbox) > MAX_INBOX_ITEMS:
            raise ClusterError(
                f"the control plane is too far behind: {len(self._inbox)} messages wait; take a lower --speed"
            )

    def _fail(self, error: Exception) -> None:
        # The first is the cause; what fails after it is mostly its consequence.
        self._error = self._error or error

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def _end(self) -> LiveEnd:
        """Tell the workers, hand their last accounts to the core, then tell the core."""
        end_ns = max([self._local.last_ns, *(peer.last_ns for peer in self._peers.values())])
        if self._is_stopped:
            end_ns = max(end_ns, self._clock.now_ns())
        ended = RunEnded(interrupted=self._is_stopped)
        for address in self._local.addresses:
            if address != self._core_address:
                self._local.deliver(address, end_ns, ended)
        warnings: list[str] = []
        for peer in self._peers.values():
            warnings += await self._end_peer(peer, end_ns, ended)
        self._local.deliver(self._core_address, end_ns, ended)
        hops = self.lateness.cost(self._clock.speed)
        return LiveEnd(end_ns, self._is_stopped, self.num_messages, self._num_envelopes, hops, warnings)

    async def _end_peer(self, peer: _Peer, end_ns: int, ended: RunEnded) -> list[str]:
        """Have one host account; answers a warning if it does not in time."""
        for address in peer.addresses:
            peer.outbox.add((address, end_ns, ended))
            self._num_messages += 1
        while peer.outbox:
            self._send(peer)
        self._error = None
        try:
            async with asyncio.timeout(END_S):
                while peer.num_taken < peer.outbox.num_sent and self._error is None:
                    self._changed.clear()
                    await self._changed.wait()
            self._raise_error()
        except (ClusterError, TimeoutError) as error:
            return [f"{peer.name} gave no last account: {str(error) or f'no answer within {END_S:.0f} s'}"]
        inbox, self._inbox = sorted(self._inbox, key=_due_ns), []
        for address, due_ns, message in inbox:
            self._local.deliver(address, due_ns, message)
        return []


def _due_ns(item: Item) -> int:
    return item[1]
