"""Which hosts have lost a node, and wait for room on another: told from looks at their placement groups.

An instance is on the nodes of all its bundles, its process on that of the first. Ray starts the process again when the
first is lost, and does not mind the others; here the loss of any is the loss of the instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

CREATED: Final = "CREATED"
"""State of a placement group of which every bundle has a node."""


class PlacedHost(Struct, frozen=True):
    """A host with a placement group."""

    group: str
    """Id of the group, in hexadecimal."""
    bundle: str
    """What a bundle takes, for a person, such as "8 NPU"."""


class GroupLook(Struct, frozen=True):
    """A placement group at one time: its state, and the node of each bundle, empty for one that has none."""

    state: str
    nodes: Sequence[str]

    @property
    def is_whole(self) -> bool:
        """Whether every bundle has a node."""
        return self.state == CREATED and all(self.nodes)


class PlacementWatch:
    """`see` takes a look at all groups and returns the hosts whose processes must be ended.

    Hosts count as placed until a look says otherwise.
    """

    def __init__(self, placed: Mapping[str, PlacedHost]) -> None:
        self._placed = dict(placed)
        self._nodes: dict[str, Sequence[str]] = {}
        self._missing: dict[str, str] = {}

    @property
    def groups(self) -> Mapping[str, str]:
        """The placement group of each host."""
        return {host: one.group for host, one in self._placed.items()}

    def see(self, groups: Mapping[str, GroupLook]) -> list[str]:
        """A look at every group by its id; returns hosts that have lost a node which is not that of their process."""
        doomed: list[str] = []
        for host, placed in self._placed.items():
            look = groups.get(placed.group)
            if look is None:
                self._missing[host] = "waits for ever: its placement group was removed"
                continue
            before = self._nodes.get(host)
            if look.is_whole:
                has_moved = before is not None and host not in self._missing and list(look.nodes) != list(before)
                self._missing.pop(host, None)
                self._nodes[host] = look.nodes
                if has_moved and before is not None and look.nodes[0] == before[0]:
                    doomed.append(host)  # a node was lost and replaced between two looks
                continue
            if host not in self._missing and look.nodes and look.nodes[0]:
                doomed.append(host)
            self._missing[host] = self._line(placed, look)
        return doomed

    def waits_for(self, host: str) -> str:
        """What a host waits for, for a person; empty for one that has its place."""
        return self._missing.get(host, "")

    def nodes_of(self, host: str) -> Sequence[str]:
        """Where the bundles of a host were when they last had nodes."""
        return self._nodes.get(host, ())

    @staticmethod
    def _line(placed: PlacedHost, look: GroupLook) -> str:
        lost = sum(not node for node in look.nodes) or len(look.nodes)
        many = f"{lost} bundles" if lost > 1 else "a bundle"
        return f"waits for a node with room for {many} of {placed.bundle}, as its own was lost"
