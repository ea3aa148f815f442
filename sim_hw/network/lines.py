"""What the lines of a supernode's ends carry, and what is left of them when parts have failed.

An end is what a component sends from or receives at: a die, a CPU socket, a node. Its line is all of its links up to
where its plane no longer blocks, and no link on the way carries less than its share: so where a switch has lost links
upwards, those below share what is left equally.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim_hw.clusters.supernode import Endpoint, Supernode
from sim_hw.model_loading import OBJECT_STORE_BYTES_PER_S
from sim_hw.network.topologies import build_topology
from sim_hw.network.topology import Link, Topology
from sim_hw.planes import Plane


class LineEnd(StrEnum):
    """Ends of lines, numbered over the whole supernode: dies, dies again, CPU sockets, nodes. The object store is one
    bucket outside, whatever there is of supernodes."""

    UB_DIE = "ub_die"
    RDMA_DIE = "rdma_die"
    UB_CPU = "ub_cpu"
    VPC_NODE = "vpc_node"
    OBJECT_STORE = "object_store"

    @property
    def plane(self) -> Plane:
        """On which plane the line is."""
        return _PORTS[self][0]


_PORTS = {
    LineEnd.UB_DIE: (Plane.UB, Endpoint.DIE),
    LineEnd.RDMA_DIE: (Plane.RDMA, Endpoint.DIE),
    LineEnd.UB_CPU: (Plane.UB, Endpoint.CPU),
    LineEnd.VPC_NODE: (Plane.VPC, Endpoint.NODE),
}


class Lines:
    """Rates of all lines of one supernode, in each direction. The links are looked at only when parts have failed."""

    def __init__(self, supernode: Supernode) -> None:
        self._supernode = supernode
        self._wirings: dict[Plane, _Wiring] = {}
        # Rates by end with the parts that failed last: several ask for the same.
        self._failed: frozenset[str] = frozenset()
        self._rates: dict[LineEnd, NDArray[np.float64]] = {}

    @cached_property
    def topology(self) -> Topology:
        """Every link and part."""
        return build_topology(self._supernode)

    def whole_bytes_per_s(self, end: LineEnd) -> float:
        """Rate of one line when nothing has failed. Raises LookupError where there is no such line."""
        return self._supernode.port(*_PORTS[end]).bytes_per_s.value

    def has(self, end: LineEnd) -> bool:
        """Whether there are such lines."""
        try:
            return end is LineEnd.OBJECT_STORE or self.whole_bytes_per_s(end) > 0
        except LookupError:
            return False

    def none(self, end: LineEnd) -> NDArray[np.float64]:
        """Of ends that have no such line."""
        return np.zeros(self._supernode.num_endpoints(_PORTS[end][1]))

    def bytes_per_s(self, end: LineEnd, failed: Collection[str] = ()) -> NDArray[np.float64]:
        """Rates by number of the end: what reaches other nodes. Raises LookupError for a part that is not there."""
        if not failed or end is LineEnd.OBJECT_STORE:
            return self._whole(end)
        now = frozenset(failed)
        if now != self._failed:
            self._failed, self._rates = now, {}
        if end not in self._rates:
            self._rates[end] = self._find(end, now)
        return self._rates[end].copy()

    def _whole(self, end: LineEnd) -> NDArray[np.float64]:
        if end is LineEnd.OBJECT_STORE:
            return np.array([OBJECT_STORE_BYTES_PER_S.value])
        return np.full(self._supernode.num_endpoints(_PORTS[end][1]), self.whole_bytes_per_s(end))

    def _find(self, end: LineEnd, failed: Collection[str]) -> NDArray[np.float64]:
        rates, plane = self._whole(end), end.plane
        if plane not in self._wirings:
            self._wirings[plane] = _Wiring(self.topology.links, plane)
        shares = _Shares(self._wirings[plane], {index for part in failed for index in self.topology.carried_by(part)})
        if shares.touched:
            for number, name in enumerate(self._names(end)):
                if name in shares.touched:
                    rates[number] = shares.line_bytes_per_s(name)
        return rates

    def _names(self, end: LineEnd) -> list[str]:
        node = self._supernode
        if end is LineEnd.VPC_NODE:
            return [f"node/{index}/vpc" for index in range(node.num_nodes.count)]
        if end is LineEnd.UB_CPU:
            per_node = node.cpus_per_node.count
            return [f"node/{index // per_node}/cpu/{index % per_node}" for index in range(node.num_cpus)]
        per_npu = node.chip.num_dies.count
        return [f"npu/{index // per_npu}/{index % per_npu}" for index in range(node.num_dies)]


class FleetLines:
    """Lines of several supernodes, numbered one after the other; their parts are named `sn/N/` and as within it.

    What joins them is no part of any of them and never fails.
    """

    def __init__(self, supernodes: Sequence[Supernode]) -> None:
        alike = {supernode.name: Lines(supernode) for supernode in supernodes}
        self._lines = [alike[supernode.name] for supernode in supernodes]
        self._num_supernodes = len(supernodes)

    def of(self, supernode: int) -> Lines:
        """Those of one supernode, by its number."""
        return self._lines[supernode]

    def bytes_per_s(self, end: LineEnd, failed: Collection[str] = ()) -> NDArray[np.float64]:
        """Rates by number of the end. Raises LookupError for a part that is not there."""
        if self._num_supernodes == 1:
            return self._lines[0].bytes_per_s(end, failed)
        within: list[list[str]] = [[] for _ in range(self._num_supernodes)]
        for part in failed:
            index, name = self._find(part)
            within[index].append(name)
        if any(lines.has(end) for lines in self._lines):
            pairs = zip(self._lines, within, strict=True)
            # Ends without a line keep their numbers, and carry nothing.
            return np.concatenate(
                [lines.bytes_per_s(end, names) if lines.has(end) else lines.none(end) for lines, names in pairs]
            )
        return self._lines[0].bytes_per_s(end, within[0])

    @property
    def parts(self) -> Iterator[str]:
        """Names of all parts. Raises ValueError if the supernode's profile does not add up."""
        for index in range(self._num_supernodes):
            for part in self._lines[index].topology.parts:
                yield self._full(index, part)

    def named(self, part: str) -> str:
        """The name of a part without leading zeros. Raises LookupError, with near names, if there is no such part."""
        index, name = self._find(part)
        return self._full(index, self._lines[index].topology.named(name))

    def _full(self, index: int, name: str) -> str:
        return name if self._num_supernodes == 1 else f"sn/{index}/{name}"

    def _find(self, part: str) -> tuple[int, str]:
        if self._num_supernodes == 1:
            return 0, part
        first, number, name = (*part.split("/", 2), "", "")[:3]
        if first != "sn" or not name or not number.isdecimal() or int(number) >= self._num_supernodes:
            raise LookupError(
                f"{part!r} names no part of a fleet of {self._num_supernodes} supernodes; "
                f"write sn/N/ before it, N from 0 to {self._num_supernodes - 1}"
            )
        return int(number), name


class _Wiring:
    """Links of one plane by index, by the devices below and above them; and what comes up into each device."""

    def __init__(self, links: Sequence[Link], plane: Plane) -> None:
        self.links = links
        self.plane = plane
        self.up: defaultdict[str, list[int]] = defaultdict(list)
        self.down: defaultdict[str, list[int]] = defaultdict(list)
        self.from_below: defaultdict[str, float] = defaultdict(float)
        for index, link in enumerate(links):
            if link.plane == plane:
                self.up[link.lower].append(index)
                self.down[link.upper].append(index)
                self.from_below[link.upper] += link.bytes_per_s


class _Shares:
    """What part of its own rate a link may count on when those of the `dead` indices are gone.

    `touched` are the devices that this can make slower: those that lost a link upwards, and all below them.
    """

    def __init__(self, wiring: _Wiring, dead: Collection[int]) -> None:
        self._wiring = wiring
        self._dead = dead
        self._lost_from_below: defaultdict[str, float] = defaultdict(float)
        self.touched: set[str] = set()
        waiting: list[str] = []
        for index in dead:
            link = wiring.links[index]
            if link.plane == wiring.plane:
                self._lost_from_below[link.upper] += link.bytes_per_s
                waiting.append(link.lower)
        while waiting:
            device = waiting.pop()
            if device not in self.touched:
                self.touched.add(device)
                waiting += [wiring.links[index].lower for index in wiring.down[device]]
        self._by_device: dict[str, float] = {}

    def line_bytes_per_s(self, device: str) -> float:
        """All links of a device upwards, each as far as what is above it goes on."""
        links = self._wiring.links
        alive = (links[index] for index in self._wiring.up[device] if index not in self._dead)
        return sum(link.bytes_per_s * self._onward(link.upper) for link in alive)

    def _onward(self, device: str) -> float:
        """Share of what comes into a device from below that gets on, equal for all; 1 if nothing above it is lost."""
        if device not in self.touched:
            return 1.0
        if device not in self._by_device:
            whole = sum(self._wiring.links[index].bytes_per_s for index in self._wiring.up[device])
            from_below = self._wiring.from_below[device]
            wanted = (from_below - self._lost_from_below[device]) / from_below
            self._by_device[device] = min(1.0, self.line_bytes_per_s(device) / whole / wanted)
        return self._by_device[device]
