"""Background traffic: a YAML file of flows between nodes or dies, read strictly and laid over the links of a plan.

    flows:
      all_reduce:                # any name
        plane: ub                # or rdma
        from: node/3             # or npu/24, or npu/24/1 for one die; counted over all supernodes of the plan
        to: node/7
        bytes_per_s: 1.0e+12     # of all dies together, as far as they get it
        start_s: 10              # 0 unless given
        for_s: 2
        period_s: 5              # again every so long; once unless given

The die i-th in `from` sends to the i-th in `to`, over and over where one of them has fewer. Only links that the fabric
knows are shared: on UB those of instances, on RDMA out of prefill and into decode instances, and what leads out of one
supernode and into another; NPUs outside the plan take nothing else from anybody. UB, or what joins the NPUs of another
cluster, ends where a supernode does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from scheduler.protocol.fabric_messages import Plane
from scheduler.sources.synthetic.section import Section
from scheduler.sources.synthetic.settings_file import read_settings
from scheduler.sources.traces.rows import shorten
from sim_hw.clusters.numbering import first_numbers
from sim_hw.clusters.supernode import Supernode
from workers.fabric.background import BackgroundFlow

MAX_S: Final = 1e9
"""Times are 64-bit nanoseconds."""

PathOf = Callable[[Plane, int, int], Sequence[int]]
"""(plane, die that sends, die that receives) to the links of the fabric that their lines are part of, and those between
their supernodes: none of a die where no instance may be, several where instances may have it in turn. A stream takes
them all at one rate, and so the line of whoever is there."""


class NamedFlow(Struct, frozen=True):
    """One flow of the file: which dies send to which, and when."""

    plane: Plane
    sources: range
    destinations: range
    bytes_per_s: float
    start_ns: int
    length_ns: int
    period_ns: int

    def laid(self, path_of: PathOf) -> BackgroundFlow:
        """Over links; pairs of dies that load the same ones are streams of one path."""
        num_pairs = max(len(self.sources), len(self.destinations))
        streams: Counter[tuple[int, ...]] = Counter()
        for pair in range(num_pairs):
            source, destination = (ends[pair % len(ends)] for ends in (self.sources, self.destinations))
            if path := tuple(path_of(self.plane, source, destination)):
                streams[path] += 1
        rate = max(1, round(self.bytes_per_s / num_pairs))
        return BackgroundFlow(self.plane, streams, rate, self.start_ns, self.length_ns, self.period_ns)


def read_background(path: str, supernodes: Sequence[Supernode]) -> list[NamedFlow]:
    """The flows of a file, in a fleet of these; `ConfigError` names place, fault and fix."""
    file = read_settings(path, "background traffic")

    def flows() -> list[NamedFlow]:
        named = file.section("flows")
        sections = [named.section(name) for name in named.values]
        return [section.build(lambda section=section: _flow(section, supernodes)) for section in sections]

    return file.build(flows)


def _flow(section: Section, supernodes: Sequence[Supernode]) -> NamedFlow:
    plane = section.choice("plane", "ub", ["ub", "rdma"])
    start_ns, length_ns = _time_ns(section, "start_s", 0.0), _time_ns(section, "for_s", None)
    period_ns = _time_ns(section, "period_s", 0.0)
    if not length_ns:
        raise section.error("for_s", "is 0", "give a number above 0")
    if period_ns and period_ns <= length_ns:
        raise section.error(
            "period_s", f"is {period_ns / 1e9:g}", f"give more than for_s, {length_ns / 1e9:g}, or leave it out"
        )
    bytes_per_s = section.number("bytes_per_s")
    if not 1.0 <= bytes_per_s <= 1e18:
        raise section.error("bytes_per_s", f"is {bytes_per_s:g}", "give a number from 1 to 1e18")
    (source, source_dies), (destination, dies) = (_dies(section, key, supernodes) for key in ("from", "to"))
    if plane == "ub" and source != destination:
        raise section.error(
            "to",
            f"is in supernode {destination} and from in {source}, and ub ends where a supernode does",
            "give plane: rdma, or two ends in one supernode",
        )
    return NamedFlow(Plane[plane.upper()], source_dies, dies, bytes_per_s, start_ns, length_ns, period_ns)


def _time_ns(section: Section, key: str, default: float | None) -> int:
    seconds = section.number(key, default)
    if not 0.0 <= seconds <= MAX_S:
        raise section.error(key, f"is {seconds:g}", f"give a number of seconds from 0 to {MAX_S:g}")
    return round(1e9 * seconds)


def _dies(section: Section, key: str, supernodes: Sequence[Supernode]) -> tuple[int, range]:
    """The supernode and the dies of `node/N`, `npu/N` or `npu/N/D`, numbered over all supernodes."""
    text = section.text(key)
    kind, *numbers = text.split("/")
    if not 1 <= len(numbers) <= {"node": 1, "npu": 2}.get(kind, 0) or not all(
        number.isdecimal() and number.isascii() for number in numbers
    ):
        raise section.error(key, f"is {shorten(text)}", "give node/N, npu/N or npu/N/D")
    counts = [one.num_nodes.count if kind == "node" else one.num_npus for one in supernodes]
    named, (place, *die) = supernodes[0].name if len(supernodes) == 1 else "the plan", map(int, numbers)
    if place >= sum(counts):
        raise section.error(key, f"is {shorten(text)}", f"{named} counts these from 0 to {sum(counts) - 1}")
    firsts = first_numbers(counts)
    supernode = bisect_right(firsts, place) - 1
    cluster = supernodes[supernode]
    per_npu = cluster.chip.num_dies.count
    if die and die[0] >= per_npu:
        raise section.error(key, f"is {shorten(text)}", f"{cluster.name} counts these from 0 to {per_npu - 1}")
    num_dies = per_npu * (cluster.npus_per_node.count if kind == "node" else 1)
    first_die = first_numbers(one.num_dies for one in supernodes)[supernode]
    first = first_die + (place - firsts[supernode]) * num_dies
    return supernode, range(first + die[0], first + die[0] + 1) if die else range(first, first + num_dies)
