"""A host: takes commands in order, wakes its components on time, and hands its failures to whoever calls next."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.protocol.component import NEVER_NS, Outputs, TimingFlags
from scheduler.protocol.envelope import MAX_ITEMS, Envelope, decode_envelope, encode_envelope
from scheduler.protocol.errors import ClusterError
from scheduler.protocol.messages import ArrivalsEnded, Message, ReleaseKv, RunEnded
from workers.ray_shell.host_loop import HostLoop


class StillClock:
    """A clock that somebody else moves."""

    def __init__(self) -> None:
        self.time_ns = 0

    def now_ns(self) -> int:
        return self.time_ns

    async def wait(self, changed: asyncio.Event, deadline_ns: int) -> None:
        await changed.wait()


class Alarm(TimingFlags):
    """Wakes at the time in `ReleaseKv`, and then says `num_said` things."""

    address, priority = "alarm", 4

    def __init__(self, num_said: int = 1) -> None:
        self.deadline_ns = NEVER_NS
        self._num_said = num_said

    def handle(self, now_ns: int, message: Message) -> Outputs:
        if isinstance(message, ReleaseKv):
            self.deadline_ns = message.ids[0]
            return (("core", ReleaseKv([now_ns])),)
        return ()

    def wake(self, now_ns: int) -> Outputs:
        self.deadline_ns = NEVER_NS
        return (("core", ArrivalsEnded()),) * self._num_said


def command(sequence: int, at_ns: int, due_ns: int = 0) -> bytes:
    return encode_envelope(Envelope("control", sequence, 0, 0, 0, [], [("alarm", due_ns, ReleaseKv([at_ns]))]))


def make(num_said: int = 1) -> tuple[StillClock, list[Envelope], HostLoop]:
    clock, posted = StillClock(), list[Envelope]()

    async def post(data: bytes) -> None:
        posted.append(decode_envelope(data))

    return clock, posted, HostLoop("host", [Alarm(num_said)], clock, post)


def test_the_answer_to_a_command_goes_back_with_the_call() -> None:
    clock, _, loop = make()
    clock.time_ns = 90
    reply = decode_envelope(loop.receive(command(0, 100, due_ns=80)))
    assert reply == Envelope("host", 0, 1, 100, 80, [10], [("core", 80, ReleaseKv([80]))])


def test_a_command_that_came_too_early_waits_for_the_one_before() -> None:
    _, _, loop = make()
    assert decode_envelope(loop.receive(command(1, 200, due_ns=2))).items == []
    reply = decode_envelope(loop.receive(command(0, 100, due_ns=1)))
    assert reply.items == [("core", 1, ReleaseKv([1])), ("core", 2, ReleaseKv([2]))]
    assert (reply.sequence, reply.num_received, reply.deadline_ns) == (1, 2, 200)


def test_what_a_wake_says_is_posted_with_its_due_time() -> None:
    clock, posted, loop = make()

    async def run() -> None:
        running = asyncio.create_task(loop.run())
        loop.receive(command(0, 100))
        await asyncio.sleep(0)
        clock.time_ns = 130
        loop._changed.set()
        for _ in range(5):
            await asyncio.sleep(0)
        running.cancel()

    asyncio.run(run())
    assert [(e.sequence, e.deadline_ns, e.items) for e in posted] == [(1, NEVER_NS, [("core", 100, ArrivalsEnded())])]


def test_what_is_said_while_a_post_is_under_way_is_posted_as_soon_as_it_has_arrived() -> None:
    """Though no deadline comes, and no command."""
    clock, posted, arrived = StillClock(), list[Envelope](), asyncio.Event()

    async def post(data: bytes) -> None:
        posted.append(decode_envelope(data))
        await arrived.wait()

    loop = HostLoop("host", [Alarm()], clock, post)

    async def run() -> None:
        running = asyncio.create_task(loop.run())
        for sequence, at_ns in enumerate((100, 200)):
            loop.receive(command(sequence, at_ns))
            clock.time_ns = at_ns
            for _ in range(5):
                await asyncio.sleep(0)
            loop._changed.set()
            for _ in range(5):
                await asyncio.sleep(0)
        assert [one.items[0][1] for one in posted] == [100]
        arrived.set()
        for _ in range(5):
            await asyncio.sleep(0)
        running.cancel()

    asyncio.run(run())
    assert [one.items[0][1] for one in posted] == [100, 200]


def test_much_at_once_is_split_and_what_is_left_is_told() -> None:
    clock, _, loop = make(num_said=MAX_ITEMS + 1)
    clock.time_ns = 10
    first = decode_envelope(loop.receive(command(0, 5)))
    assert (len(first.items), first.deadline_ns) == (MAX_ITEMS, 5)
    second = decode_envelope(loop.receive(encode_envelope(Envelope("control", 1, 0, 0, 0, [], []))))
    assert (len(second.items), second.deadline_ns) == (2, NEVER_NS)


def test_after_the_end_nothing_wakes() -> None:
    clock, _, loop = make()
    loop.receive(command(0, 100))
    ended = Envelope("control", 1, 0, 0, 0, [], [("alarm", 50, RunEnded(interrupted=True))])
    clock.time_ns = 1000
    reply = decode_envelope(loop.receive(encode_envelope(ended)))
    assert (reply.items, reply.deadline_ns) == ([], NEVER_NS)
    asyncio.run(asyncio.wait_for(loop.run(), 1.0))


def test_a_post_that_failed_is_told_to_the_next_caller() -> None:
    clock = StillClock()

    async def post(_: bytes) -> None:
        raise ClusterError("nobody there")

    loop = HostLoop("host", [Alarm()], clock, post)

    async def run() -> None:
        loop.receive(command(0, 5))
        clock.time_ns = 10
        running = asyncio.create_task(loop.run())
        for _ in range(5):
            await asyncio.sleep(0)
        running.cancel()

    asyncio.run(run())
    with pytest.raises(ClusterError, match="nobody there"):
        loop.receive(command(1, 5))


def test_nobody_goes_on_with_a_component_that_raised() -> None:
    clock, posted, loop = make()

    async def run() -> None:
        running = asyncio.create_task(loop.run())
        loop.receive(command(0, 100))
        unknown = Envelope("control", 1, 0, 0, 0, [], [("alarm", 0, ReleaseKv([]))])
        with pytest.raises(IndexError):
            loop.receive(encode_envelope(unknown))
        with pytest.raises(IndexError):
            loop.receive(command(2, 200))
        clock.time_ns = 1000
        loop._changed.set()
        await asyncio.wait_for(running, 1.0)

    asyncio.run(run())
    assert posted == []


class Ahead(Alarm):
    """May be woken before its deadline, and then sets the next, which is as near as that."""

    runs_ahead = True

    def wake(self, now_ns: int) -> Outputs:
        self.deadline_ns = now_ns + 7
        return (("core", ReleaseKv([now_ns])),)


@pytest.mark.parametrize(("kind", "lead_ns"), [(Ahead, 20), (Ahead, 0), (Alarm, 20)])
def test_who_may_run_ahead_is_never_further_ahead_than_the_lead(kind: type[Alarm], lead_ns: int) -> None:
    clock, posted = StillClock(), list[Envelope]()

    async def post(data: bytes) -> None:
        posted.append(decode_envelope(data))

    loop = HostLoop("host", [kind()], clock, post, lead_ns=lead_ns)
    ahead_ns = lead_ns if kind is Ahead else 0
    waited: list[int] = []

    async def wait(changed: asyncio.Event, deadline_ns: int) -> None:
        waited.append(deadline_ns)
        await changed.wait()

    clock.wait = wait  # type: ignore[method-assign]

    async def run() -> None:
        loop.receive(command(0, 100))
        running = asyncio.create_task(loop.run())
        for now_ns in range(60, 140):
            clock.time_ns = now_ns
            loop._changed.set()
            for _ in range(5):
                await asyncio.sleep(0)
            said = [due_ns for envelope in posted for _, due_ns, _ in envelope.items]
            every_ns = 7 if kind is Ahead else 1000
            assert said == list(range(100, now_ns + ahead_ns + 1, every_ns))
            # It is not woken for what it may not do yet.
            assert waited[-1] == (NEVER_NS if said and kind is Alarm else 100 + every_ns * len(said) - ahead_ns)
        running.cancel()

    asyncio.run(run())
    assert posted


def test_what_is_said_to_a_host_that_is_ahead_comes_late_and_joins_what_follows() -> None:
    clock = StillClock()

    async def post(_: bytes) -> None:
        raise AssertionError

    loop = HostLoop("host", [Ahead()], clock, post, lead_ns=20)
    clock.time_ns = 90
    first = decode_envelope(loop.receive(command(0, 100, due_ns=80)))
    assert [due_ns for _, due_ns, _ in first.items] == [80, 100, 107]
    assert (first.last_ns, first.deadline_ns, first.lateness_ns) == (107, 114, [10])
    clock.time_ns = 95
    second = decode_envelope(loop.receive(command(1, 120, due_ns=94)))
    assert second.items == [("core", 107, ReleaseKv([107]))]
    # How late it is is told by the wall, not by how far the host is ahead.
    assert (second.last_ns, second.deadline_ns, second.lateness_ns) == (107, 120, [1])
