"""How far the wall clocks of nodes are apart, from pings: a pure function of what was sent and received when.

As in NTP (RFC 5905, section 8), with a server that answers at one time: who asks at t0, is answered that it is t1 there
and hears of it at t2, knows that the other clock is ahead by t1 - (t0 + t2) / 2, and by no more than (t2 - t0) / 2 more
or less than that, however the way there and back took their shares. Of several pings the fastest knows it best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

_NS_PER_MS = 1e6


class Ping(Struct, frozen=True):
    """One question to a node for its clock: wall nanoseconds here, there, and here."""

    sent_ns: int
    there_ns: int
    heard_ns: int


class Offset(Struct, frozen=True):
    """A clock is ahead of ours by `ahead_ns`, give or take `error_ns` at most."""

    ahead_ns: int
    error_ns: int


def offset_of(pings: Sequence[Ping]) -> Offset:
    """What the fastest of these says; those during which our own clock was set back say nothing."""
    sound = [ping for ping in pings if ping.heard_ns >= ping.sent_ns]
    if not sound:
        raise ValueError("an offset needs a ping")
    best = min(sound, key=lambda ping: ping.heard_ns - ping.sent_ns)
    return Offset(best.there_ns - (best.sent_ns + best.heard_ns) // 2, -(-(best.heard_ns - best.sent_ns) // 2))


def spread_of(offsets: Mapping[str, Offset], home: str) -> Offset:
    """The offset, to the clock of node `home`, of the clock that may be furthest from it."""
    apart = [between(offsets[home], one) for node, one in offsets.items() if node != home]
    return max(apart, key=lambda one: abs(one.ahead_ns) + one.error_ns, default=Offset(0, 0))


def between(home: Offset, other: Offset) -> Offset:
    """How far one clock is ahead of another, both as seen from a third."""
    return Offset(other.ahead_ns - home.ahead_ns, other.error_ns + home.error_ns)


def why_too_far(offsets: Mapping[str, Offset], home: str, limit_ns: int) -> str:
    """One line that names the first node whose clock is certainly further than the limit from that of `home`, or is not
    known that well; empty if there is none."""
    for node, seen in offsets.items():
        if node == home:
            continue
        one = between(offsets[home], seen)
        if abs(one.ahead_ns) - one.error_ns > limit_ns:
            way = "ahead of" if one.ahead_ns > 0 else "behind"
            return (
                f"the clock of node {node} is {_ms(abs(one.ahead_ns))} {way} that of node {home} "
                f"(+-{_ms(one.error_ns)}), more than --max-clock-skew {_ms(limit_ns)} allows; "
                "set it right (chronyc makestep), or allow more"
            )
        if one.error_ns > limit_ns:
            return (
                f"the clock of node {node} is known to +-{_ms(one.error_ns)} only, and --max-clock-skew is "
                f"{_ms(limit_ns)}: its answers are too slow; try again when it is less busy, or allow more"
            )
    return ""


def _ms(ns: int) -> str:
    return f"{ns / _NS_PER_MS:.3g} ms"
