"""Breaking and repairing parts of the fabric of a standing cluster: what `supernode fail` and `repair` do and say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from deploy.cluster.standing import cluster_that_is_up
from deploy.cluster.state import ClusterState
from deploy.faults.parts import fabric_parts, named
from deploy.settings.settings import Settings


class Broken(Struct, frozen=True):
    """All parts that are broken now, their kinds as text, and the share of each plane's lines that they take."""

    parts: list[str]
    kinds: list[str]
    lost: dict[str, float]

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"failed_parts": self.parts, "kinds": self.kinds, "lost": self.lost}

    def text(self) -> str:
        """For a person, ending in a newline."""
        if not self.parts:
            return "no part of the fabric is broken\n"
        lost = ", ".join(f"{plane.upper()} {100 * share:.2g} %" for plane, share in self.lost.items() if share)
        return f"broken: {', '.join(self.kinds)}; lost: {lost or 'nothing'}\n"


def fail_parts(names: Iterable[str]) -> Broken:
    """Break these, besides those that are broken already. `ConfigError` if the fabric has no such part."""
    return _ask("fail", names)


def repair_parts(names: Iterable[str] | None) -> Broken:
    """Repair these, all if None; returns what stays broken."""
    return _ask("repair", names)


def _ask(command: str, names: Iterable[str] | None) -> Broken:
    state = cluster_that_is_up()
    parts = fabric_parts(Settings.from_plain(state.config).hardware)
    broken = _call(state, command, None if names is None else named(names, parts))
    kinds = [loss.text for loss in parts.broken_by_kind(broken)]
    lost = {plane.value: share for plane, share in parts.lost_share(broken).items()}
    return Broken(broken, kinds, lost)


def _call(state: ClusterState, command: str, names: list[str] | None) -> list[str]:
    # Ray takes a second to import, and a misspelt part should be told at once.
    from deploy.cluster.attach import control_call

    return control_call(state, command, parts=names)
