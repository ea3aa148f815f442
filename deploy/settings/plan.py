"""Plans: which instances supernodes are split into, as a sum of terms such as `14x16p+1x160d+48c`.

`2*(14x16p+1x160d+48c)` is a fleet of two supernodes, and a sum of such groups one of supernodes that differ. A term
may name a cluster or a chip: `8x32p@ascend-910b+1x160d`. Terms of a group that are of one cluster are one supernode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.rows import shorten
from sim_hw.clusters.sheet import CLUSTERS, find_supernode
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import UnknownNameError

_TERM: Final = re.compile(
    r"(?:(?P<count>\d{1,9})x(?P<npus>\d{1,9})(?P<role>[pda])|(?P<servers>\d{1,9})c)(?:@(?P<where>[^@]{1,64}))?",
    re.ASCII,
)
_GROUP: Final = re.compile(r"(?P<count>\d{1,9})\*\((?P<terms>[^()*]*)\)(?:\+(?=.)|$)", re.ASCII)
_FIX: Final = (
    "write terms like 14x16p (prefill), 1x160d (decode), 24x16a (aggregated), 48c (cache servers), joined by +"
)

MAX_SUPERNODES: Final = 1000
"""Bound on the supernodes of a fleet; the table numbers instances in 16 bits."""


class _Room(Struct, frozen=True):
    """A kind of supernode, and what it has room for; the one of `--cluster` has no name."""

    name: str
    cluster: Supernode | None
    npus: int
    nodes: int

    @property
    def title(self) -> str:
        """As errors call it."""
        return self.name or "the cluster"


class SupernodePlan(Struct, frozen=True):
    """NPUs of each prefill, decode and aggregated instance of one supernode, and the number of its cache servers."""

    prefill_npus: tuple[int, ...]
    decode_npus: tuple[int, ...]
    num_cache_servers: int
    aggregated_npus: tuple[int, ...] = ()
    cluster: Supernode | None = None
    """What it is, if not `--cluster`."""

    @property
    def num_npus(self) -> int:
        """NPUs of all instances."""
        return sum(self.prefill_npus) + sum(self.decode_npus) + sum(self.aggregated_npus)


@dataclass(frozen=True, slots=True)
class Plan:
    """The supernodes of a fleet; with one of them, which is the rule, just how it is split."""

    supernodes: tuple[SupernodePlan, ...]
    text: str = field(default="", compare=False)
    """As it was given."""

    @property
    def num_npus(self) -> int:
        """NPUs of all instances."""
        return sum(supernode.num_npus for supernode in self.supernodes)

    @property
    def has_aggregated(self) -> bool:
        """Whether any instance is of both stages."""
        return any(supernode.aggregated_npus for supernode in self.supernodes)

    @property
    def has_several_clusters(self) -> bool:
        """Whether not all supernodes are of one kind."""
        return len({one.cluster and one.cluster.name for one in self.supernodes}) > 1

    def clusters(self, own: Supernode) -> tuple[Supernode, ...]:
        """What each supernode is; `own` where its terms name none."""
        return tuple(one.cluster or own for one in self.supernodes)

    @property
    def num_cache_servers(self) -> int:
        """Of all supernodes together."""
        return sum(supernode.num_cache_servers for supernode in self.supernodes)


def parse_plan(text: str, cluster_npus: int, cluster_nodes: int, cluster_name: str = "") -> Plan:
    """Read a plan and hold each supernode of it against its cluster; `ConfigError` gives both numbers and the fix.

    A supernode whose terms name none is of the cluster that is described here.
    """
    own = _Room("", None, cluster_npus, cluster_nodes)
    rooms = {"": own, cluster_name: own}
    compact = text.replace(" ", "")
    supernodes: list[SupernodePlan] = []
    if "(" in compact or ")" in compact:
        for count, terms in _groups(text, compact):
            if count > MAX_SUPERNODES:
                raise ConfigError(_too_many(text))
            supernodes += _parse_terms(text, terms, rooms) * count
            if len(supernodes) > MAX_SUPERNODES:
                raise ConfigError(_too_many(text))
    else:
        supernodes += _parse_terms(text, compact, rooms)
    has_aggregated = any(one.aggregated_npus for one in supernodes)
    has_both = any(one.prefill_npus for one in supernodes) and any(one.decode_npus for one in supernodes)
    if not (has_both or has_aggregated):
        raise ConfigError(
            f"plan {shorten(text)}: needs at least one prefill (p) and one decode (d) instance, or one of both (a); "
            f"{_FIX}"
        )
    return Plan(tuple(supernodes), text)


def _groups(text: str, compact: str) -> list[tuple[int, str]]:
    """(number of supernodes, terms of each) of a plan in groups."""
    groups: list[tuple[int, str]] = []
    end = 0
    for match in _GROUP.finditer(compact):
        if match.start() != end or not int(match["count"]):
            break
        groups.append((int(match["count"]), match["terms"]))
        end = match.end()
    if end != len(compact):
        raise ConfigError(
            f"plan {shorten(text)}: cannot read the group {shorten(compact[end:])}; "
            "write supernodes like 2*(14x16p+1x160d+48c), joined by +"
        )
    return groups


def _parse_terms(text: str, terms: str, rooms: dict[str, _Room]) -> list[SupernodePlan]:
    """A supernode for each cluster that the terms of a group name, in the order in which they do."""
    parsed: dict[str, list[re.Match[str]]] = {}
    for term in terms.split("+"):
        match = _TERM.fullmatch(term)
        if match is None:
            raise ConfigError(f"plan {shorten(text)}: cannot read the term {shorten(term)}; {_FIX}")
        where = match["where"] or ""
        if where not in rooms:
            room = _find_room(text, where, rooms)
            rooms[where] = rooms[room.name] = room
        parsed.setdefault(rooms[where].name, []).append(match)
    return [_supernode(text, matches, rooms[name]) for name, matches in parsed.items()]


def _supernode(text: str, terms: Iterable[re.Match[str]], room: _Room) -> SupernodePlan:
    npus_by_role: dict[str, list[int]] = {"p": [], "d": [], "a": []}
    num_servers = 0
    for match in terms:
        if match["servers"]:
            num_servers += int(match["servers"])
            continue
        count, npus, role = int(match["count"]), int(match["npus"]), match["role"]
        if not count or not npus:
            raise ConfigError(f"plan {shorten(text)}: the term {shorten(match[0])} has no NPUs; {_FIX}")
        if count * npus > room.npus:
            raise ConfigError(_too_large(text, count * npus, room))
        npus_by_role[role].extend([npus] * count)
    prefill, decode, aggregated = map(tuple, npus_by_role.values())
    plan = SupernodePlan(prefill, decode, num_servers, aggregated, room.cluster)
    if plan.num_npus > room.npus:
        raise ConfigError(_too_large(text, plan.num_npus, room))
    if num_servers > room.nodes:
        raise ConfigError(
            f"plan {shorten(text)}: {num_servers} cache servers, but {room.title} has {room.nodes} nodes; "
            f"at most {room.nodes}c"
        )
    return plan


def _find_room(text: str, where: str, rooms: dict[str, _Room]) -> _Room:
    """The cluster of that name, or the only one that is built in of the chip of that name."""
    try:
        cluster = CLUSTERS.get(where)
        of_chip = [one.supernode for one in CLUSTERS if one.supernode.chip.name == where] if cluster is None else []
        found = of_chip[0] if len(of_chip) == 1 else find_supernode(where)
    except UnknownNameError as error:
        chips = ", ".join(sorted({one.supernode.chip.name for one in CLUSTERS}))
        raise ConfigError(f"plan {shorten(text)}: @{where}: {error}; or one by its chip: {chips}") from None
    known = rooms.get(found.name)
    return known or _Room(found.name, found, found.num_npus, found.num_nodes.count)


def _too_many(text: str) -> str:
    return f"plan {shorten(text)}: more than {MAX_SUPERNODES} supernodes; take fewer"


def _too_large(text: str, wanted: int, room: _Room) -> str:
    problem = f"takes {wanted} NPUs, {room.title} has {room.npus}"
    return f"plan {shorten(text)}: {problem}; take away {wanted - room.npus} or more, or write N*(...) for N supernodes"
