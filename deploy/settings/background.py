"""Background traffic: a YAML file of flows between nodes or dies, read strictly and laid over the links of a plan.

    flows:
      all_reduce:                # any name
        plane: ub                # or rdma
        from: node/3             # or npu/24, or npu/24/1 for one die
        to: node/7
        bytes_per_s: 1.0e+12     # of all dies together, as far as they get it
        start_s: 10              # 0 unless given
        for_s: 2
        period_s: 5              # again every so long; once unless given

The die i-th in `from` sends to the i-th in `to`, over and over where one of them has fewer. Only links that the fabric
knows are shared: on UB those of instances, on RDMA out of prefill and into decode instances; NPUs outside the plan take
nothing from anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from scheduler.protocol.fabric_messages import Plane
from scheduler.sources.synthetic.section import Section
from scheduler.sources.synthetic.settings_file import read_settings
from scheduler.sources.traces.rows import shorten
from sim_hw.clusters.supernode import Supernode
from workers.fabric.background import BackgroundFlow

MAX_S: Final = 1e9
"""Times are 64-bit nanoseconds."""

LinksOf = Callable[[Plane, int, int], Sequence[int]]
"""(plane, die, direction: 0 into it, 1 out of it) to the links of the fabric that its line is part of: none where no
instance may be, several where instances may have the die in turn. A stream takes them all at one rate, and so the line
of whoever is there."""


class NamedFlow(Struct, frozen=True):
    """One flow of the file: which dies send to which, and when."""

    plane: Plane
    sources: range
    destinations: range
    bytes_per_s: float
    start_ns: int
    length_ns: int
    period_ns: int

    def laid(self, links_of: LinksOf) -> BackgroundFlow:
        """Over links; pairs of dies that load the same ones are streams of one path."""
        num_pairs = max(len(self.sources), len(self.destinations))
        streams: Counter[tuple[int, ...]] = Counter()
        for pair in range(num_pairs):
            source = links_of(self.plane, self.sources[pair % len(self.sources)], 1)
            destination = links_of(self.plane, self.destinations[pair % len(self.destinations)], 0)
            path = (*source, *destination)
            if path:
                streams[path] += 1
        rate = max(1, round(self.bytes_per_s / num_pairs))
        return BackgroundFlow(self.plane, streams, rate, self.start_ns, self.length_ns, self.period_ns)


def read_background(path: str, cluster: Supernode) -> list[NamedFlow]:
    """The flows of a file; `ConfigError` names place, fault and fix."""
    file = read_settings(path, "background traffic")

    def flows() -> list[NamedFlow]:
        named = file.section("flows")
        sections = [named.section(name) for name in named.values]
        return [section.build(lambda section=section: _flow(section, cluster)) for section in sections]

    return file.build(flows)


def _flow(section: Section, cluster: Supernode) -> NamedFlow:
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
    ends = _dies(section, "from", cluster), _dies(section, "to", cluster)
    return NamedFlow(Plane[plane.upper()], *ends, bytes_per_s, start_ns, length_ns, period_ns)


def _time_ns(section: Section, key: str, default: float | None) -> int:
    seconds = section.number(key, default)
    if not 0.0 <= seconds <= MAX_S:
        raise section.error(key, f"is {seconds:g}", f"give a number of seconds from 0 to {MAX_S:g}")
    return round(1e9 * seconds)


def _dies(section: Section, key: str, cluster: Supernode) -> range:
    """The dies of `node/N`, `npu/N` or `npu/N/D`, numbered over the whole supernode."""
    text = section.text(key)
    per_npu, per_node = cluster.chip.num_dies.count, cluster.npus_per_node.count
    kind, *numbers = text.split("/")
    counts = {"node": (cluster.num_nodes.count,), "npu": (cluster.num_npus, per_npu)}.get(kind, ())
    is_number = all(number.isdecimal() and number.isascii() for number in numbers)
    if not 1 <= len(numbers) <= len(counts) or not is_number:
        raise section.error(key, f"is {shorten(text)}", "give node/N, npu/N or npu/N/D")
    found = [int(number) for number in numbers]
    for number, count in zip(found, counts, strict=False):
        if number >= count:
            raise section.error(key, f"is {shorten(text)}", f"{cluster.name} counts these from 0 to {count - 1}")
    if kind == "node":
        first = found[0] * per_node * per_npu
        return range(first, first + per_node * per_npu)
    first = found[0] * per_npu
    return range(first, first + per_npu) if len(found) == 1 else range(first + found[1], first + found[1] + 1)
