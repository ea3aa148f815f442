"""The expert all-to-all of an instance as background load on its UB links: what it leaves to others, and they to it.

Two time scales meet here. The all-to-all moves in bursts, thousands in a second, each at the whole line rate of a die,
as any access runs; transfers of the pool last milliseconds. To share out every burst would cost thousands of events
for each pass, so each side sees only the mean of the other:

- Transfers see the *mean load*: it is taken from the links and from the limit of the pool's streams on them, since a
  stream that shares its die's link with bursts has that much less of it. By half of a link at most: a burst takes no
  more than its fair half of a link from one stream.
- The instance sees its *share during bursts*: beside n streams a burst has a fair 1 / (1 + n) of the link. How much
  longer its bytes take for that, averaged over `REFRESH_NS` of work at least, makes the share that it is told; from
  then on its passes and steps have the length that they have with that share.

The feedback damps: a smaller share makes passes longer, so their mean load falls, transfers beside them end sooner,
and the share comes back. docs/expert-traffic.md says how good the estimate is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import ExpertLoadReported, LinkShare
from workers.fabric.expert_load import CHANGE_PPM, PPM, REFRESH_NS
from workers.fabric.shared_links import SharedLinks

Steady = list[tuple[int, int]]
"""(limit of a stream in bytes/s, number of streams) of background traffic on a link."""


@dataclass(frozen=True, slots=True)
class ExpertLinks:
    """The links of all dies of an instance on UB, into them and out of them; `line_rate_bytes_per_s` is of one die."""

    into: int
    out: int
    num_dies: int
    line_rate_bytes_per_s: int


class InstanceExpertTraffic:
    """Of one instance. `due_ns`: when its share is to be looked at again. `until_ns`: its load holds so long."""

    def __init__(
        self,
        address: str,
        ends: ExpertLinks,
        links: SharedLinks,
        lanes: Sequence[Sequence[int]],
        watched: set[InstanceExpertTraffic],
    ) -> None:
        """`lanes`: of the pool's streams on the link into its dies, and on the one out of them.

        It is in `watched` as long as its share is to be looked at again.
        """
        self.address: Final = address
        self.ends: Final = ends
        self.due_ns = NEVER_NS
        self.until_ns = 0
        self._links = links
        self._lanes = lanes
        self._watched = watched
        self._load = 0
        self._applied = 0
        # By direction, into and out: transfers of the pool, each with one stream for each die; and what is steady.
        self._num_pool = [0, 0]
        self.steady: list[Steady] = [[], []]
        self._share_ppm = PPM
        self._told_ppm = PPM
        # Of the present window: up to when, how much of it there was work, and how much longer that is at its share.
        self._at_ns = 0
        self._worked_ns = 0
        self._slowed_ns = 0

    @property
    def is_shared(self) -> bool:
        """Whether transfers of the pool are under way here, as far as they were settled."""
        return self._num_pool[0] > 0 or self._num_pool[1] > 0

    def begin(self, now_ns: int, direction: int, capacities: Sequence[int]) -> None:
        """A transfer of the pool begins, after those that ended were settled."""
        self._num_pool[direction] += 1
        if now_ns < self.until_ns:
            self.apply(now_ns, capacities)
            self.share_again(now_ns)
        elif self._applied:
            self.apply(now_ns, capacities)

    def end(self, now_ns: int, direction: int) -> None:
        """One is off the links."""
        self._num_pool[direction] -= 1
        if now_ns < self.until_ns:
            self.share_again(now_ns)

    def state(self, now_ns: int, message: ExpertLoadReported, capacities: Sequence[int]) -> list[LinkShare]:
        """The instance tells its load; what is under way feels it now, what is not when it begins."""
        self._advance(now_ns)
        self._load, self.until_ns = message.bytes_per_s, message.until_ns
        self._told_ppm = message.share_ppm
        self._at_ns = now_ns
        self._share_ppm = self._shared_ppm()
        if self.is_shared:
            self.apply(now_ns, capacities)
        return self._tell(now_ns)

    def share_again(self, now_ns: int) -> None:
        """What else is on the links has changed."""
        self._advance(now_ns)
        self._share_ppm = self._shared_ppm()
        self._await(now_ns)

    def _shared_ppm(self) -> int:
        into, out = self._num_pool
        if self.steady[0] or self.steady[1]:
            ends, steady = self.ends, self.steady
            return min(burst_share_ppm(ends, into, steady[0]), burst_share_ppm(ends, out, steady[1]))
        return PPM // (1 + (into if into > out else out))

    def look(self, now_ns: int) -> list[LinkShare]:
        """What to tell the instance, if its share has changed."""
        self._advance(now_ns)
        return self._tell(now_ns)

    def _tell(self, now_ns: int) -> list[LinkShare]:
        told: list[LinkShare] = []
        if self._worked_ns >= REFRESH_NS:
            mean_ppm = self._worked_ns * PPM // self._slowed_ns
            self._worked_ns = self._slowed_ns = 0
            if abs(mean_ppm - self._told_ppm) > CHANGE_PPM:
                self._told_ppm = mean_ppm
                told.append(LinkShare(mean_ppm))
        self._await(now_ns)
        return told

    def apply(self, now_ns: int, capacities: Sequence[int], *, is_forced: bool = False) -> None:
        """Take from the links what the load is now, by half of them at most."""
        rate = self.ends.line_rate_bytes_per_s
        load = min(self._load, rate // 2) if self.until_ns > now_ns else 0
        if load == self._applied and not is_forced:
            return
        self._applied = load
        for link, lanes in zip((self.ends.into, self.ends.out), self._lanes, strict=True):
            left = max(0, capacities[link] - self.ends.num_dies * load)
            self._links.set_link(now_ns, link, left, dict.fromkeys(lanes, rate - load))

    def _advance(self, now_ns: int) -> None:
        at_ns, until_ns = self._at_ns, self.until_ns
        worked_ns = (now_ns if now_ns < until_ns else until_ns) - at_ns
        if worked_ns > 0:
            self._worked_ns += worked_ns
            self._slowed_ns += worked_ns * PPM // self._share_ppm
        if now_ns > at_ns:
            self._at_ns = now_ns

    def _await(self, now_ns: int) -> None:
        """As long as the instance was told another share than it has; once it has it, no time brings news."""
        if self._share_ppm == self._told_ppm and self.due_ns == NEVER_NS:
            return
        self.due_ns = NEVER_NS
        if abs(self._share_ppm - self._told_ppm) > CHANGE_PPM:
            due_ns = max(now_ns, self._at_ns + REFRESH_NS - self._worked_ns)
            if due_ns < self.until_ns:
                self.due_ns = due_ns
                self._watched.add(self)
                return
        self._watched.discard(self)


def burst_share_ppm(ends: ExpertLinks, num_pool: int, steady: Steady) -> int:
    """The fair share of a burst on a link, in millionths, beside so many streams of the pool for each die and what is
    steady.

    The links of the dies are taken to be whole and to bind alone: what others cannot take elsewhere is not seen here.
    """
    left, weight = ends.line_rate_bytes_per_s * ends.num_dies, ends.num_dies * (1 + num_pool)
    weight += sum(streams for _, streams in steady)
    for limit, streams in sorted(steady):
        if limit * weight > left:
            break
        left -= limit * streams
        weight -= streams
    return max(1, min(PPM, left * PPM // (weight * ends.line_rate_bytes_per_s)))


class ExpertTraffic:
    """Of all instances. `busy_until_ns`: so long at least one load holds. `watched`: whose share is looked at again."""

    def __init__(
        self,
        ends: Mapping[str, ExpertLinks],
        links: SharedLinks | None,
        lanes: Mapping[int, Sequence[int]],
    ) -> None:
        """`links` of UB, None where there are no `ends`; `lanes` of the pool by link."""
        self.busy_until_ns = 0
        self.watched: Final[set[InstanceExpertTraffic]] = set()
        self._by_address: dict[str, InstanceExpertTraffic] = {}
        for address, one in ends.items():
            assert links is not None
            on = lanes.get(one.into, ()), lanes.get(one.out, ())
            self._by_address[address] = InstanceExpertTraffic(address, one, links, on, self.watched)

    @property
    def all(self) -> list[InstanceExpertTraffic]:
        """In the order of the instances."""
        return list(self._by_address.values())

    def look(self, now_ns: int) -> list[tuple[str, LinkShare]]:
        """Find what shares to tell now that time has passed: (instance, message) pairs."""
        due = [traffic for traffic in self.watched if traffic.due_ns <= now_ns]
        told: list[tuple[str, LinkShare]] = []
        for traffic in sorted(due, key=lambda one: one.address) if due else ():
            told += [(traffic.address, share) for share in traffic.look(now_ns)]
        return told

    def apply(self, now_ns: int, capacities: Sequence[int]) -> None:
        """Take the loads from links that carry something else now, bytes/s."""
        for traffic in self._by_address.values():
            traffic.apply(now_ns, capacities, is_forced=True)

    def of(self, address: str) -> InstanceExpertTraffic:
        """The expert traffic of the instance at that address; KeyError if its links are not shared."""
        return self._by_address[address]
