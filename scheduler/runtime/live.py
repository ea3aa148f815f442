"""The live runtime: an asyncio loop that hosts the control plane and talks to workers over a `WorkerTransport`.

Main loop: `run` waits for whatever comes first, a deadline or an envelope; `_turn` then delivers what came in, in the
order of due times, runs the stepper until now and sends on what was sent to workers. Why a clock that is always late
changes so little is told at the head of `scheduler.protocol.stepper`. What came in before it is due waits in `Inbox`.

A host is a process, and `Peer` is what is known of it. What is on its way to it and from it is numbered and
acknowledged, so that the run knows when nothing is due anywhere and nothing is on its way: only then is it over, and
that is the condition of the virtual clock too. A turn never waits for a reply, so that a slow host holds up no other.

A host whose process dies is lost at once, together with all that was on its way to and from it; the core is told, and
told again when a fresh and empty process has taken its place. Any other error, of a component here or on a host or of
the transport, ends the run, which raises the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from msgspec import Struct, field

from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.envelope import MAX_IN_FLIGHT, Envelope, decode_envelope, encode_envelope
from scheduler.protocol.errors import ClusterError, WorkerLostError
from scheduler.protocol.messages import (
    Message,
    ReportUsage,
    RunEnded,
    WorkersLost,
    WorkersStarted,
)
from scheduler.protocol.stepper import Stepper
from scheduler.runtime.clock import NS_PER_S, Clock
from scheduler.runtime.hops import HopCost, LatenessHistogram
from scheduler.runtime.inbox import Inbox
from scheduler.runtime.patience import Patience
from scheduler.runtime.peer import Link, Peer, host_of
from scheduler.runtime.worker_transport import WorkerTransport

HEARTBEAT_S: Final = 2.0
"""Wall seconds after which hosts are asked how they stand, so that a dead one is missed, and idle instances for their
usage up to a heartbeat ago: what is sent to them now never fell due before that."""

END_S: Final = 15.0
"""Wall seconds that a host has to account for the run when it has ended."""

MAX_RETURNS: Final = 10
"""Times in a row that a host's process may die while it comes back."""


class LiveEnd(Struct, frozen=True):
    """How a live run ended. `end_ns` is the time of its last event, as on the virtual clock."""

    end_ns: int
    interrupted: bool
    num_messages: int
    num_envelopes: int
    num_restarts: int
    hops: HopCost
    warnings: list[str]
    num_stalled: int = 0
    """Requests for which nothing was due any more, and nobody came in time to change that: they ended as failed."""
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    """What hosts that were away at the end waited for, by name."""


class LiveRuntime:
    """Runs `components` here (the core and the source) and all others on the transport's hosts.

    The run is over when nothing is due anywhere and nothing is on its way, the same condition as on the virtual clock;
    with `keep_open` not before `stop`. If requests are open then (`num_open`), it waits for `patience_s` on the wall
    for an operator to change that (`tell`), and ends as one that was stopped if nobody does. `session` tells this run's
    envelopes from those of an earlier one on the same hosts. Of the `metered` addresses usage is asked when they are
    idle. Hosts may be ahead by `lead_ns` of emulated time.
    """

    def __init__(
        self,
        components: Sequence[Component],
        core_address: str,
        transport: WorkerTransport,
        clock: Clock,
        *,
        session: str = "0",
        metered: Sequence[str] = (),
        keep_open: bool = False,
        num_open: Callable[[], int] = lambda: 0,
        patience_s: float = 0.0,
        lead_ns: int = 0,
    ) -> None:
        self._local = Stepper(components)
        self._core_address = core_address
        self._transport = transport
        self._clock = clock
        self._keep_open = keep_open
        self._peers = {name: Peer(name, addresses, metered, session) for name, addresses in transport.hosts.items()}
        self._peer_of = {address: peer for peer in self._peers.values() for address in peer.addresses}
        self.lateness = LatenessHistogram()
        self._lead_ns = lead_ns
        self._inbox = Inbox(self.lateness, lead_ns)
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None
        self._is_stopped = False
        self._is_ending = False
        self.patience = Patience(clock, num_open, patience_s)
        self._heartbeat_ns = -NEVER_NS  # the first turn greets every host, before clock zero
        self._num_messages = 0
        self._num_envelopes = 0
        self._num_restarts = 0

    @property
    def num_messages(self) -> int:
        """Messages handled here and sent to hosts so far."""
        return self._num_messages + self._local.num_handled

    def waiting(self) -> dict[str, str]:
        """What hosts that are away wait for, by name: nobody knows whether they will come back."""
        away = {peer.name: self._transport.waits_for(peer.name) for peer in self._peers.values() if peer.is_lost}
        return {name: line for name, line in away.items() if line}

    def deliver(self, data: bytes) -> None:
        """Take an envelope from a host; never waits, so that the order of calls is the order of receipt."""
        try:
            self._accept(decode_envelope(data))
        except Exception as error:  # noqa: BLE001 - ends the run, which raises it
            self._fail(error)
        self._changed.set()

    def tell(self, message: Message, at_ns: int = NEVER_NS) -> None:
        """Send a message to the core from outside, as of a time that is past, or now."""
        self._tell_core(message, at_ns)
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
                if self._is_over() and self.patience.is_over():
                    self._is_stopped = self._is_stopped or self.patience.num_given_up > 0
                    break
                await self._clock.wait(self._changed, self._next_ns())
                self._raise_error()
            return await self._end()
        except (ClusterError, TimeoutError):
            # The core is sound: it is told, so that whoever was open ends, and ends as failed.
            self._local.deliver(self._core_address, max(self._clock.now_ns(), 0), RunEnded(interrupted=True))
            raise
        finally:
            for task in self._tasks:
                task.cancel()

    def _hear(self, now_ns: int) -> None:
        """Deliver what has come in and may be told now."""
        for address, due_ns, message in self._inbox.take(now_ns):
            self._local.deliver(address, due_ns, message)

    def _turn(self) -> None:
        now_ns = self._clock.now_ns()
        self._hear(now_ns)
        self._local.run_until(now_ns)
        self._route()
        is_checking = now_ns >= self._heartbeat_ns
        if is_checking:
            self._check(now_ns)
        if self.patience.left_s is not None and self._is_anything_due():
            self.patience.restore()
        is_ending = self._may_be_ending()
        for peer in self._peers.values():
            link = peer.link
            if peer.is_lost:
                continue
            if link.num_in_flight < MAX_IN_FLIGHT and link.outbox:
                self._send(peer)
            elif not link.num_in_flight and (is_checking or (is_ending and link.deadline_ns <= now_ns)):
                # An empty envelope asks how it stands: its own deadlines may have passed without a word.
                self._send(peer)

    def _check(self, now_ns: int) -> None:
        """Ask for usage, as of a heartbeat ago."""
        heartbeat_ns = int(HEARTBEAT_S * NS_PER_S * self._clock.speed)
        self._heartbeat_ns = now_ns + heartbeat_ns
        if now_ns < heartbeat_ns:
            return
        for peer in self._peers.values():
            if not peer.is_lost:
                for address in peer.metered:
                    peer.link.outbox.add((address, now_ns - heartbeat_ns, ReportUsage()))

    def _route(self) -> None:
        for item in self._local.take_sent():
            peer = self._peer_of.get(item[0])
            if peer is None:
                raise ClusterError(f"no host has the component {item[0]!r}")
            if not peer.is_lost:
                peer.link.outbox.add(item)
                self._num_messages += 1

    def _next_ns(self) -> int:
        """When to turn again if nothing comes in."""
        next_ns = min(self._local.deadline_ns, self._heartbeat_ns, self._inbox.next_ns)
        if self._may_be_ending():
            # The last requests: ask each host when its own deadline has passed, to see the end soon.
            links = [peer.link for peer in self._peers.values() if not peer.is_lost]
            waiting = [link.deadline_ns for link in links if not link.num_in_flight]
            next_ns = min([next_ns, *waiting])
        return next_ns

    def _may_be_ending(self) -> bool:
        """Nothing is due here, in a run that ends by itself."""
        return not self._keep_open and self._local.deadline_ns == NEVER_NS and not self._inbox

    def _is_over(self) -> bool:
        return self._may_be_ending() and all(peer.is_quiet() or self._is_away(peer) for peer in self._peers.values())

    def _is_anything_due(self) -> bool:
        """Whether somebody will do something by itself, or is to come back; asking how hosts stand does not count."""
        return (
            self._local.deadline_ns != NEVER_NS
            or self._inbox.next_ns != NEVER_NS
            or any(
                peer.link.deadline_ns != NEVER_NS or peer.is_lost
                for peer in self._peers.values()
                if not self._is_away(peer)
            )
        )

    def _is_away(self, peer: Peer) -> bool:
        """It is lost, and may never come back."""
        return peer.is_lost and bool(self._transport.waits_for(peer.name))

    def _send(self, peer: Peer) -> None:
        link = peer.link
        data = encode_envelope(link.outbox.next(link.inbound.num_received))
        link.num_in_flight += 1
        self._num_envelopes += 1
        self._start(self._exchange(peer, link, data))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _exchange(self, peer: Peer, link: Link, data: bytes) -> None:
        try:
            reply = await self._transport.send(peer.name, data)
        except WorkerLostError as error:
            self._lose(peer, link, error)
        except Exception as error:  # noqa: BLE001 - ends the run, which raises it
            self._fail(error)
        else:
            self.deliver(reply)
        finally:
            link.num_in_flight -= 1
            self._changed.set()

    def _lose(self, peer: Peer, link: Link, error: WorkerLostError) -> None:
        """A host's process died: forget what was on its way, tell the core, wait for the next. Once per process."""
        if peer.link is not link:
            return
        if self._is_ending:  # nobody will come back in time to account for this run
            self._fail(error)
            return
        self._inbox.forget(link.sender, self._clock.now_ns())
        peer.lose()
        self._tell_core(WorkersLost(list(peer.addresses)))
        self._start(self._revive(peer))

    async def _revive(self, peer: Peer) -> None:
        try:
            num_started = await self._return_of(peer)
        except Exception as error:  # noqa: BLE001 - ends the run, which raises it
            self._fail(error)
        else:
            self._num_restarts += num_started
            peer.is_lost = False
            for _ in range(num_started - 1):  # began and died before anybody spoke to them
                self._tell_core(WorkersStarted(list(peer.addresses)))
                self._tell_core(WorkersLost(list(peer.addresses)))
            self._tell_core(WorkersStarted(list(peer.addresses)))
        self._changed.set()

    async def _return_of(self, peer: Peer) -> int:
        """Wait until a host is back, even if it dies again on the way; returns how many processes that took."""
        last = ""
        for _ in range(MAX_RETURNS):
            try:
                return await self._transport.revive(peer.name, peer.link.sender, max(self._clock.now_ns(), 0))
            except WorkerLostError as error:
                peer.lose()
                last = str(error)
        raise ClusterError(f"{peer.name} died {MAX_RETURNS} times in a row while it came back: {last}")

    def _tell_core(self, message: Message, at_ns: int = NEVER_NS) -> None:
        self._inbox.add((self._core_address, max(min(at_ns, self._clock.now_ns()), 0), message))

    def _accept(self, envelope: Envelope) -> None:
        peer = self._peers.get(host_of(envelope.sender))
        if peer is None:
            raise ClusterError(f"an envelope from {envelope.sender!r}, which is no host of this run")
        link = peer.link
        if envelope.sender != link.sender:
            return  # sent by a process that is gone, or in a run before this one
        now_ns = self._clock.now_ns()
        for lateness_ns in envelope.lateness_ns:
            self.lateness.add(lateness_ns)
        for ready in link.inbound.take(envelope):
            self._num_envelopes += 1
            link.num_taken, link.deadline_ns, link.last_ns = ready.num_received, ready.deadline_ns, ready.last_ns
            self._inbox.receive(ready.sender, ready.items, now_ns)

    def _fail(self, error: Exception) -> None:
        # The first is the cause; what fails after it is mostly its consequence.
        self._error = self._error or error

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def _end(self) -> LiveEnd:
        """Tell the workers, hand their last accounts to the core, then tell the core."""
        self._is_ending = True
        end_ns = max([self._local.last_ns, *(peer.link.last_ns for peer in self._peers.values())])
        if self._is_stopped:
            end_ns = max(end_ns, self._clock.now_ns())
        # A host may be ahead, and nobody here is told of a time before it has come.
        await self._reach(min(end_ns, self._clock.now_ns() + self._lead_ns))
        ended = RunEnded(interrupted=self._is_stopped)
        for address in self._local.addresses:
            if address != self._core_address:
                self._local.deliver(address, end_ns, ended)
        warnings: list[str] = []
        for peer in self._peers.values():
            warnings += await self._end_peer(peer, end_ns, ended)
        self._hear(self._clock.now_ns())
        while (next_ns := self._inbox.next_ns) != NEVER_NS:
            await self._reach(next_ns)
        self._local.deliver(self._core_address, end_ns, ended)
        hops = self.lateness.cost(self._clock.speed)
        counts = (self.num_messages, self._num_envelopes, self._num_restarts)
        num_stalled, waiting = self.patience.num_given_up, self.waiting()
        return LiveEnd(end_ns, self._is_stopped, *counts, hops, warnings, num_stalled, waiting)

    async def _reach(self, at_ns: int) -> None:
        """Wait for a time, and hear what has come by then."""
        while self._clock.now_ns() < at_ns:
            await self._clock.wait(asyncio.Event(), at_ns)
        self._hear(self._clock.now_ns())

    async def _end_peer(self, peer: Peer, end_ns: int, ended: RunEnded) -> list[str]:
        """Have one host account; returns a warning if it does not in time."""
        if peer.is_lost:
            why = self._transport.waits_for(peer.name)
            return [f"{peer.name} was down when the run ended{why and f' ({why})'}; it gave no last account"]
        link = peer.link
        for address in peer.addresses:
            link.outbox.add((address, end_ns, ended))
            self._num_messages += 1
        while link.outbox:
            self._send(peer)
        self._error = None
        try:
            async with asyncio.timeout(END_S):
                while link.num_taken < link.outbox.num_sent and self._error is None:
                    self._changed.clear()
                    await self._changed.wait()
            self._raise_error()
        except (ClusterError, TimeoutError) as error:
            return [f"{peer.name} gave no last account: {str(error) or f'no answer within {END_S:.0f} s'}"]
        self._hear(self._clock.now_ns())
        return []
