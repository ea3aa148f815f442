"""What the lines of a supernode's ends carry, and what is left of them when parts have failed.

An end is what a component sends from or receives at: a die, a CPU socket, a node. Its line is all of its links up to
where its plane no longer blocks, and no link on the way carries less than its share: so where a switch has lost links
upwards, those below share what is left equally.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim_hw.hardware.supernode import Endpoint, Plane, Supernode
from sim_hw.network.topologies import build_topology
from sim_hw.network.topology import Link, Topology


class LineEnd(StrEnum):
    """Ends of lines, numbered over the whole supernode: dies, dies again, CPU sockets, nodes."""

    UB_DIE = "ub_die"
    RDMA_DIE = "rdma_die"
    UB_CPU = "ub_cpu"
    VPC_NODE = "vpc_node"

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

    @cached_property
    def topology(self) -> Topology:
        """Every link and part."""
        return build_topology(self._supernode)

    def whole_bytes_per_s(self, end: LineEnd) -> float:
        """Rate of one line when nothing has failed. Raises LookupError where there is no such line."""
        return self._supernode.port(*_PORTS[end]).bytes_per_s.value

    def bytes_per_s(self, end: LineEnd, failed: Collection[str] = ()) -> NDArray[np.float64]:
        """Rates by number of the end: what reaches other nodes. Raises LookupError for a part that is not there."""
        num_ends = self._supernode.num_endpoints(_PORTS[end][1])
        if not failed:
            return np.full(num_ends, self.whole_bytes_per_s(end))
        whole, left = _upwards(self.topology.links, end.plane), _upwards(self.topology.alive(failed), end.plane)
        shares = _Shares(whole, left)
        return np.array([shares.line_bytes_per_s(name) for name in self._names(end)])

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
    """Lines of several supernodes alike, numbered one after the other; their parts are named `sn/N/` and as within it.

    What joins them is no part of any of them and never fails.
    """

    def __init__(self, supernode: Supernode, num_supernodes: int) -> None:
        self.lines = Lines(supernode)
        self._num_supernodes = num_supernodes

    def bytes_per_s(self, end: LineEnd, failed: Collection[str] = ()) -> NDArray[np.float64]:
        """Rates by number of the end. Raises LookupError for a part that is not there."""
        if self._num_supernodes == 1:
            return self.lines.bytes_per_s(end, failed)
        within: list[list[str]] = [[] for _ in range(self._num_supernodes)]
        for part in failed:
            index, name = self._find(part)
            within[index].append(name)
        return np.concatenate([self.lines.bytes_per_s(end, names) for names in within])

    def check(self, part: str) -> None:
        """Raises LookupError, with near names, if there is no such part."""
        self.lines.topology.carried_by(self._find(part)[1])

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
    """Links of one plane, by the device below them, and what comes into each device from below."""

    def __init__(self, links: Iterable[Link]) -> None:
        self.up: defaultdict[str, list[Link]] = defaultdict(list)
        self.from_below: defaultdict[str, float] = defaultdict(float)
        for link in links:
            self.up[link.lower].append(link)
            self.from_below[link.upper] += link.bytes_per_s


def _upwards(links: Iterable[Link], plane: Plane) -> _Wiring:
    return _Wiring(link for link in links if link.plane == plane)


class _Shares:
    """What part of its own rate a link may count on, given what is left of the links above it."""

    def __init__(self, whole: _Wiring, left: _Wiring) -> None:
        self._whole = whole
        self._left = left
        self._by_device: dict[str, float] = {}

    def line_bytes_per_s(self, device: str) -> float:
        """All links of a device upwards, each as far as what is above it goes on."""
        return sum(link.bytes_per_s * self._onward(link.upper) for link in self._left.up.get(device, ()))

    def _onward(self, device: str) -> float:
        """Share of what comes into a device from below that gets on, equal for all; 1 if nothing above it is lost."""
        whole = sum(link.bytes_per_s for link in self._whole.up.get(device, ()))
        if not whole:
            return 1.0  # the plane's top
        if device not in self._by_device:
            wanted = self._left.from_below[device] / self._whole.from_below[device]
            self._by_device[device] = min(1.0, self.line_bytes_per_s(device) / whole / wanted)
        return self._by_device[device]
