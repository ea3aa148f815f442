"""Ray's part of where hosts run: a placement group for each instance, and looks at what has become of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from msgspec import Struct
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from workers.ray_shell.placement_watch import GroupLook, PlacedHost, PlacementWatch

LOOK_S: Final = 1.0
"""Wall seconds between two looks at the groups."""

PLACE_LOOK_S: Final = 0.1
"""Wall seconds between two questions whether a host has a place."""

# Ray's types are incomplete.
_GROUPS: Final[Any] = import_module("ray.util.placement_group")


class Seat(Struct, frozen=True):
    """The placement group of a host, as Ray's handle, and its bundles: amounts by resource."""

    group: Any
    bundles: Sequence[Mapping[str, float]]
    text: str
    """What a bundle takes, for a person."""

    def placed(self) -> PlacedHost:
        """As plain data."""
        return PlacedHost(self.group.id.hex(), self.text)

    def options(self) -> dict[str, Any]:
        """Of an actor that takes the first bundle."""
        takes = dict(self.bundles[0])
        cpus = takes.pop("CPU", 0.0)
        strategy = PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=0)
        return {"num_cpus": cpus, "resources": takes, "scheduling_strategy": strategy}


class Seating(Struct, frozen=True):
    """Where the actors of a fleet go: hosts with a seat to that, all others to the node `home`, by its id."""

    seats: Mapping[str, Seat]
    home: str

    def options(self, host: str) -> dict[str, Any]:
        """What Ray is told of where an actor goes, and of what it takes."""
        seat = self.seats.get(host)
        return {"scheduling_strategy": on_node(self.home)} if seat is None else seat.options()

    def placed(self) -> dict[str, PlacedHost]:
        """The hosts with a seat, as plain data."""
        return {host: seat.placed() for host, seat in self.seats.items()}


def on_node(node: str) -> Any:
    """The scheduling strategy of an actor that is on this node or nowhere."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


def reserve(hosts: Mapping[str, tuple[Sequence[Mapping[str, float]], str]], strategy: str) -> dict[str, Seat]:
    """A placement group for each host, of its bundles with their text; they may not have a place yet.

    They end with the driver that made them, whatever becomes of it.
    """
    return {
        host: Seat(
            _GROUPS.placement_group([dict(one) for one in bundles], strategy=strategy.upper(), name=host), bundles, text
        )
        for host, (bundles, text) in hosts.items()
    }


def release(seats: Mapping[str, Seat]) -> None:
    """Give the places back."""
    for seat in seats.values():
        _GROUPS.remove_placement_group(seat.group)


def look_at(groups: Mapping[str, str]) -> dict[str, GroupLook]:
    """The groups by id, of which `groups` are the values; those that Ray has forgotten or removed are left out."""
    looks: dict[str, GroupLook] = {}
    for group in groups.values():
        table = _GROUPS.placement_group_table(_group_handle(group))
        if table and table["state"] != "REMOVED":
            nodes = table["bundles_to_node_id"]
            looks[group] = GroupLook(table["state"], tuple(nodes[index] or "" for index in sorted(nodes)))
    return looks


def _group_handle(group: str) -> Any:
    return _GROUPS.PlacementGroup(import_module("ray").PlacementGroupID(bytes.fromhex(group)))


class WatchedPlaces:
    """`Places` of hosts with placement groups; `watch` looks at them for as long as it runs.

    `fence` ends the process of a host that has lost another of its nodes.
    """

    def __init__(self, placed: Mapping[str, PlacedHost], fence: Callable[[str], None]) -> None:
        self._watch = PlacementWatch(placed)
        self._fence = fence

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            try:
                looks = await asyncio.to_thread(look_at, self._watch.groups)
            except Exception:  # noqa: BLE001 - a GCS that is busy or away answers the next look
                looks = None
            for host in [] if looks is None else self._watch.see(looks):
                self._fence(host)
            await asyncio.sleep(LOOK_S)

    def waits_for(self, host: str) -> str:
        """See `carrier.Places`."""
        return self._watch.waits_for(host)

    def nodes(self) -> dict[str, Sequence[str]]:
        """Ids of the nodes of each host, as they were last known."""
        return {host: self._watch.nodes_of(host) for host in self._watch.groups}

    async def placed(self, host: str) -> None:
        """See `carrier.Places`."""
        while self._watch.waits_for(host):
            await asyncio.sleep(PLACE_LOOK_S)
