"""The networks of a supernode as links between named parts, and what is lost when parts fail.

A part is anything that can fail on its own and that a person can type. N is a number counted from 0 over the whole
supernode, P a sub-plane, C a second-level chip of it; leading zeros are taken:

    npu/N/D             die D of an NPU                 npu/N/D/ub/I    its UB port I
    node/N/cpu/I        a CPU socket                    node/N/cpu/I/ub/J  its UB port J
    l1/N/P              first-level switch P of a node  l2/P/C          second-level switch chip
    ub/P                a whole sub-plane               ub/N/P/I        optical link I from l1/N/P
    npu/N/nic           RDMA adapter of an NPU          npu/N/D/nic     the way of die D to it
    npu/N/rdma/0        its link to the leaf            npu/N/rdma/1    its link from leaf to spine
    leaf/N, spine/N     RDMA switches                   node/N/vpc      VPC card of a node

An optical link has a module at each end: `/0` behind its name is the one nearer to the NPUs, `/1` the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

from msgspec import Struct

from sim_hw.figure import Figure
from sim_hw.planes import Plane

MODULES_PER_LINK = 2
"""An optical link has one at each end."""


class Link(Struct, frozen=True):
    """A way between two devices, each direction at `bytes_per_s`; `lower` is the one nearer to the NPUs.

    Links of one `cable` fail together, as the two chip links that one optical link carries do.
    """

    plane: Plane
    lower: str
    upper: str
    bytes_per_s: float
    cable: str
    is_optical: bool = False
    sub_plane: str = ""


class ModuleAccount(Struct, frozen=True):
    """Optical modules by plane, and the line rate of one."""

    by_plane: Mapping[Plane, int]
    bits_per_s: Figure

    @property
    def total(self) -> int:
        return sum(self.by_plane.values())


class Topology:
    """Links, and the parts that carry them. Traffic goes up from the NPUs and down again, never up a second time."""

    def __init__(self, name: str, links: Iterable[Link], module_bits_per_s: Figure) -> None:
        self.name = name
        self.links = tuple(links)
        self._module_bits_per_s = module_bits_per_s
        carried: defaultdict[str, list[int]] = defaultdict(list)
        for index, link in enumerate(self.links):
            for part in _parts_of(link):
                carried[part].append(index)
        self._carried = {part: tuple(indices) for part, indices in carried.items()}

    @property
    def parts(self) -> Collection[str]:
        """Names of all parts."""
        return self._carried.keys()

    def carried_by(self, part: str) -> tuple[int, ...]:
        """Indices of the links that fail with a part. Raises LookupError, with near names, if there is no such part."""
        return self._carried[self.named(part)]

    def named(self, part: str) -> str:
        """The name of a part without leading zeros. Raises LookupError, with near names, if there is no such part."""
        name = "/".join(str(int(piece)) if piece.isdecimal() else piece for piece in part.split("/"))
        if name not in self._carried:
            same_kind = [known for known in self._carried if known.split("/")[0] == name.split("/")[0]]
            near = get_close_matches(name, same_kind or sorted({known.split("/")[0] for known in self._carried}), n=3)
            raise LookupError(f"{self.name} has no part {part!r}; did you mean {' or '.join(near) or 'l2/3/7'}?")
        return name

    def lost_bytes_per_s(self, failed: Collection[str]) -> dict[Plane, float]:
        """Capacity, one direction, of the links that these parts took with them, by plane."""
        dead = {index for part in failed for index in self.carried_by(part)}
        lost = dict.fromkeys(Plane, 0.0)
        for index in dead:
            lost[self.links[index].plane] += self.links[index].bytes_per_s
        return lost

    def module_account(self) -> ModuleAccount:
        """Optical modules, counted link by link."""
        cables = {(link.plane, link.cable) for link in self.links if link.is_optical}
        by_plane = {plane: MODULES_PER_LINK * sum(cable[0] == plane for cable in cables) for plane in Plane}
        return ModuleAccount(by_plane, self._module_bits_per_s)


def _parts_of(link: Link) -> Iterable[str]:
    names = {link.lower, link.upper, link.cable}
    if link.sub_plane:
        names.add(link.sub_plane)
    if link.is_optical:
        names.update((f"{link.cable}/0", f"{link.cable}/1"))
    return names
