"""Plans: which instances supernodes are split into, as a sum of terms such as `14x16p+1x160d+48c`.

`2*(14x16p+1x160d+48c)` is a fleet of two supernodes, and a sum of such groups one of supernodes that differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.rows import shorten

_TERM: Final = re.compile(r"(?:(?P<count>\d{1,9})x(?P<npus>\d{1,9})(?P<role>[pda])|(?P<servers>\d{1,9})c)", re.ASCII)
_GROUP: Final = re.compile(r"(?P<count>\d{1,9})\*\((?P<terms>[^()*]*)\)(?:\+(?=.)|$)", re.ASCII)
_FIX: Final = (
    "write terms like 14x16p (prefill), 1x160d (decode), 24x16a (aggregated), 48c (cache servers), joined by +"
)

MAX_SUPERNODES: Final = 1000
"""Bound on the supernodes of a fleet; the table numbers instances in 16 bits."""


class SupernodePlan(Struct, frozen=True):
    """NPUs of each prefill, decode and aggregated instance of one supernode, and the number of its cache servers."""

    prefill_npus: tuple[int, ...]
    decode_npus: tuple[int, ...]
    num_cache_servers: int
    aggregated_npus: tuple[int, ...] = ()

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
    def num_cache_servers(self) -> int:
        """Of all supernodes together."""
        return sum(supernode.num_cache_servers for supernode in self.supernodes)


def parse_plan(text: str, cluster_npus: int, cluster_nodes: int) -> Plan:
    """Read a plan and hold each supernode of it against the cluster; `ConfigError` gives both numbers and the fix."""
    compact = text.replace(" ", "")
    supernodes: list[SupernodePlan] = []
    if "(" in compact or ")" in compact:
        for count, terms in _groups(text, compact):
            if len(supernodes) + count > MAX_SUPERNODES:
                raise ConfigError(f"plan {shorten(text)}: more than {MAX_SUPERNODES} supernodes; take fewer")
            supernodes += [_parse_terms(text, terms, cluster_npus, cluster_nodes)] * count
    else:
        supernodes.append(_parse_terms(text, compact, cluster_npus, cluster_nodes))
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


def _parse_terms(text: str, terms: str, cluster_npus: int, cluster_nodes: int) -> SupernodePlan:
    npus_by_role: dict[str, list[int]] = {"p": [], "d": [], "a": []}
    num_servers = 0
    for term in terms.split("+"):
        match = _TERM.fullmatch(term)
        if match is None:
            raise ConfigError(f"plan {shorten(text)}: cannot read the term {shorten(term)}; {_FIX}")
        if match["servers"]:
            num_servers += int(match["servers"])
            continue
        count, npus, role = int(match["count"]), int(match["npus"]), match["role"]
        if not count or not npus:
            raise ConfigError(f"plan {shorten(text)}: the term {shorten(term)} has no NPUs; {_FIX}")
        if count * npus > cluster_npus:
            raise ConfigError(_too_large(text, count * npus, cluster_npus))
        npus_by_role[role].extend([npus] * count)
    prefill, decode, aggregated = map(tuple, npus_by_role.values())
    plan = SupernodePlan(prefill, decode, num_servers, aggregated)
    if plan.num_npus > cluster_npus:
        raise ConfigError(_too_large(text, plan.num_npus, cluster_npus))
    if num_servers > cluster_nodes:
        raise ConfigError(
            f"plan {shorten(text)}: {num_servers} cache servers, but the cluster has {cluster_nodes} nodes; "
            f"at most {cluster_nodes}c"
        )
    return plan


def _too_large(text: str, wanted: int, available: int) -> str:
    problem = f"takes {wanted} NPUs, the cluster has {available}"
    return f"plan {shorten(text)}: {problem}; take away {wanted - available} or more, or write N*(...) for N supernodes"
