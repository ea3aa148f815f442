"""Plans: which instances a supernode is split into, as a sum of terms such as `14x16p+1x160d+48c`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from scheduler.gateway.readers.rows import shorten
from scheduler.protocol.errors import ConfigError

_TERM: Final = re.compile(r"(?:(?P<count>\d{1,9})x(?P<npus>\d{1,9})(?P<role>[pda])|(?P<servers>\d{1,9})c)", re.ASCII)
_MEND: Final = "write terms like 14x16p (prefill), 1x160d (decode), 48c (cache servers), joined by +"


@dataclass(frozen=True, slots=True)
class Plan:
    """NPUs of each prefill and each decode instance, and the number of cache servers."""

    prefill_npus: tuple[int, ...]
    decode_npus: tuple[int, ...]
    num_cache_servers: int

    @property
    def num_npus(self) -> int:
        """NPUs of all instances."""
        return sum(self.prefill_npus) + sum(self.decode_npus)


def parse_plan(text: str, cluster_npus: int, cluster_nodes: int) -> Plan:
    """Read a plan and hold it against the cluster; `ConfigError` gives both numbers and the mend."""
    prefill: list[int] = []
    decode: list[int] = []
    num_servers = 0
    for term in text.replace(" ", "").split("+"):
        match = _TERM.fullmatch(term)
        if match is None:
            raise ConfigError(f"plan {shorten(text)}: cannot read the term {shorten(term)}; {_MEND}")
        if match["servers"]:
            num_servers += int(match["servers"])
            continue
        count, npus, role = int(match["count"]), int(match["npus"]), match["role"]
        if not count or not npus:
            raise ConfigError(f"plan {shorten(text)}: the term {shorten(term)} has no NPUs; {_MEND}")
        if role == "a":
            raise ConfigError(
                f"plan {shorten(text)}: aggregated instances ({shorten(term)}) are not built yet; use p and d terms"
            )
        if count * npus > cluster_npus:
            raise ConfigError(_too_large(text, count * npus, cluster_npus))
        (prefill if role == "p" else decode).extend([npus] * count)
    plan = Plan(tuple(prefill), tuple(decode), num_servers)
    if not prefill or not decode:
        raise ConfigError(f"plan {shorten(text)}: needs at least one prefill (p) and one decode (d) instance; {_MEND}")
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
    return f"plan {shorten(text)}: {problem}; take away {wanted - available} or more"
