"""Connections: who says nothing is closed, the longest silent first where there are too many."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploy.http.listening.connections import Watch


@dataclass(eq=False)
class Transport:
    """Notes that it was cut."""

    is_cut: bool = False

    def abort(self) -> None:
        """Cut."""
        self.is_cut = True


@dataclass(eq=False)
class Connection:
    """One, as aiohttp's server has it."""

    transport: Transport | None = field(default_factory=Transport)

    @property
    def is_cut(self) -> bool:
        """Whether it was closed."""
        return self.transport is not None and self.transport.is_cut


@dataclass
class Server:
    """What is looked at."""

    connections: list[Connection]


def test_who_is_silent_for_too_long_is_cut() -> None:
    silent, busy, late = Connection(), Connection(), Connection()
    watch, server = Watch(idle_s=30.0), Server([silent, busy])
    watch.active.add(busy)
    watch.sweep(server, 0.0)
    server.connections.append(late)
    watch.sweep(server, 29.0)
    assert [one.is_cut for one in (silent, busy, late)] == [False] * 3
    watch.sweep(server, 30.0)
    assert silent.is_cut
    assert [one.is_cut for one in (busy, late)] == [False] * 2


def test_an_answer_ends_the_silence_before_it() -> None:
    one = Connection()
    watch, server = Watch(idle_s=30.0), Server([one])
    watch.sweep(server, 0.0)
    watch.active.add(one)
    watch.sweep(server, 20.0)
    watch.active.discard(one)
    watch.sweep(server, 40.0)
    watch.sweep(server, 69.0)
    assert not one.is_cut
    watch.sweep(server, 70.0)
    assert one.is_cut


def test_of_too_many_the_longest_silent_go() -> None:
    first, second, busy, third = Connection(), Connection(), Connection(), Connection()
    watch, server = Watch(most=2), Server([busy])
    watch.active.add(busy)
    for at_s, one in enumerate((first, second)):
        server.connections.append(one)
        watch.sweep(server, float(at_s))
    assert [first.is_cut, second.is_cut] == [True, False]
    server.connections[:] = [busy, second, third]
    watch.sweep(server, 3.0)
    assert [second.is_cut, third.is_cut, busy.is_cut] == [True, False, False]


def test_one_that_is_gone_is_forgotten() -> None:
    gone = Connection(transport=None)
    watch, server = Watch(idle_s=1.0), Server([gone])
    watch.sweep(server, 0.0)
    watch.sweep(server, 2.0)
    assert not watch._silent_since_s
