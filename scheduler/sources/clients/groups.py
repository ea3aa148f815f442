"""How many clients there are, how they begin and how long they think: what flags and workload files say."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from scheduler.protocol.catalog import shorten
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_count, read_quantity

if TYPE_CHECKING:
    from numpy.random import Generator

MAX_CLIENTS: Final = 1_000_000
MAX_THINK_S: Final = 1e6
MAX_CV: Final = 20.0
DRAWS: Final = 256
"""Think times drawn at once."""

NS_PER_S: Final = 1e9


class ThinkKind(StrEnum):
    """How think times are distributed, all by their mean."""

    CONSTANT = "constant"
    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"


class ThinkTime(Struct, frozen=True):
    """What passes between the end of a client's request and its next; `cv` is that of a log-normal."""

    mean_s: float = 0.0
    kind: ThinkKind = ThinkKind.CONSTANT
    cv: float = 1.0

    def draws_ns(self, random: Generator) -> Iterator[int]:
        """Think times without end."""
        import numpy as np

        from scheduler.sources.synthetic.lengths import draw_log_normal

        while True:
            if self.kind is ThinkKind.CONSTANT or not self.mean_s:
                drawn_s = np.full(DRAWS, self.mean_s)
            elif self.kind is ThinkKind.EXPONENTIAL:
                drawn_s = random.exponential(self.mean_s, DRAWS)
            else:
                drawn_s = draw_log_normal(self.mean_s, self.cv, random, DRAWS)
            times_ns: list[int] = np.rint(drawn_s * NS_PER_S).astype(np.int64).tolist()
            yield from times_ns


NO_THINKING: Final = ThinkTime()


class ClientGroup(Struct, frozen=True):
    """`count` clients, each of which has one request in flight at most.

    They ask for the requests of the class `class_name`, or of all classes if it is empty. They begin evenly over
    `ramp_s`, the first at once.
    """

    count: int
    class_name: str = ""
    think: ThinkTime = NO_THINKING
    ramp_s: float = 0.0

    def begin_ns(self) -> list[int]:
        """When each of them may ask for the first time, in rising order."""
        ramp_ns = round(self.ramp_s * NS_PER_S)
        return [number * ramp_ns // self.count for number in range(self.count)]


def parse_concurrency(text: str) -> tuple[tuple[str, int], ...]:
    """(class, clients) of a text such as `64` or `interactive=200,batch=20`; the class is empty for all requests.

    Raises `ConfigError`.
    """
    counts: dict[str, int] = {}
    for term in text.split(",") if text else ():
        name, equals, number = term.rpartition("=")
        name = name.strip()
        if bool(equals) != bool(name) or name in counts or (counts and not name):
            problem = "is given twice" if name and name in counts else "names no class"
            raise ConfigError(f"{shorten(term.strip())} {problem}; give a number, or CLASS=N,CLASS=N")
        try:
            count = read_count(number.strip())
        except QuantityError:
            count = 0
        if not 1 <= count <= MAX_CLIENTS:
            raise ConfigError(f"{shorten(number.strip())} is no number of clients; give one from 1 to {MAX_CLIENTS:,}")
        counts[name] = count
    return tuple(counts.items())


def parse_think_time(text: str) -> ThinkTime:
    """Of a text such as `2s`, `exponential:2s` or `lognormal:2s,cv=1.5`. Raises `ConfigError`."""
    if not text:
        return NO_THINKING
    kind, colon, rest = text.rpartition(":")
    mean, comma, option = rest.partition(",")
    try:
        chosen = ThinkKind(kind.strip()) if colon else ThinkKind.CONSTANT
    except ValueError:
        known = " or ".join(ThinkKind)
        raise ConfigError(f"{shorten(kind)} is no distribution of think times; give {known}") from None
    cv = 1.0
    if comma:
        name, _, number = (part.strip() for part in option.partition("="))
        cv = _number(number) if name == "cv" and chosen is ThinkKind.LOGNORMAL else -1.0
        if not 0 <= cv <= MAX_CV:
            raise ConfigError(f"{shorten(option)} cannot be used; give lognormal:MEAN,cv=X with X from 0 to {MAX_CV:g}")
    return ThinkTime(parse_duration_s(mean), chosen, cv)


def parse_duration_s(text: str) -> float:
    """Seconds of a text such as `30s`, with its unit; 0 for an empty one. Raises `ConfigError`."""
    if not text:
        return 0.0
    duration_s = read_quantity(text, "s", needs_unit=True)
    if not 0 <= duration_s <= MAX_THINK_S:
        raise ConfigError(f"{shorten(text)} is out of range; give a time from 0s to {MAX_THINK_S:g}s")
    return duration_s


def _number(text: str) -> float:
    try:
        return read_quantity(text)
    except QuantityError:
        return -1.0
