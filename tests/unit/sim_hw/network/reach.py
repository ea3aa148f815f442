"""What a device still reaches when parts of a topology have failed, and the capacity that is left: link by link."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sim_hw.network.topology import Link, Topology
from sim_hw.planes import Plane


def alive(topology: Topology, failed: Iterable[str] = ()) -> list[Link]:
    """The links that are left when these parts have failed; overlapping parts count once."""
    dead = {index for part in failed for index in topology.carried_by(part)}
    return [link for index, link in enumerate(topology.links) if index not in dead]


def bytes_per_s(topology: Topology, plane: Plane, lower: str, upper: str, failed: Iterable[str] = ()) -> float:
    """Capacity, one direction, of all links between devices whose names begin so: `l1/5/` to `l2/`, for one."""
    return sum(
        link.bytes_per_s
        for link in alive(topology, failed)
        if link.plane == plane and link.lower.startswith(lower) and link.upper.startswith(upper)
    )


def reached_from(topology: Topology, plane: Plane, device: str, failed: Iterable[str] = ()) -> set[str]:
    """All devices on a plane that a device still reaches, itself included if it has a link at all."""
    up: defaultdict[str, list[str]] = defaultdict(list)
    down: defaultdict[str, list[str]] = defaultdict(list)
    for link in alive(topology, failed):
        if link.plane == plane:
            up[link.lower].append(link.upper)
            down[link.upper].append(link.lower)
    highest = _closure({device}, up)
    return _closure(highest, down) if len(highest) > 1 else set()


def _closure(start: set[str], onward: Mapping[str, list[str]]) -> set[str]:
    found, waiting = set(start), list(start)
    while waiting:
        for device in onward.get(waiting.pop(), ()):
            if device not in found:
                found.add(device)
                waiting.append(device)
    return found
