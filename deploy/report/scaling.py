"""Instances that came and went: when, how many were wanted, and why."""

from __future__ import annotations

from typing import Final

from deploy.pages.document import amount, section, table
from deploy.run_folder.read import RunFolder, ScalingChange
from scheduler.core.scaling.rules import BY_OPERATOR

MAX_ROWS: Final = 200
"""Of changes; a run of days may have more, all of which are in the folder."""

_HEAD: Final = ("at", "wanted", "changes", "reason")


def scaling_section(run: RunFolder) -> list[str]:
    """One section, or none in a run whose instances all stay."""
    if not run.comes_and_goes:
        return []
    roles = run.summary.get("scaling", {}).get("by_role", {})
    use = [
        (role, f"{one['npu_hours']:,.1f}", f"{one['mean_instances']:.2f}", f"{one['started']:,}", f"{one['drained']:,}")
        for role, one in roles.items()
    ]
    of_roles = table(("role", "NPU hours", "mean instances", "started", "drained"), use)
    rows = [
        (amount("s", one.at_ns / 1e9), wanted_text(one), actions_text(one), one.reason)
        for one in run.scalings[:MAX_ROWS]
    ]
    shown = f" The first {MAX_ROWS} of {len(run.scalings):,}." if len(run.scalings) > MAX_ROWS else ""
    about = f"Who decides: {_who(run)}. Instances that start load their model before they serve.{shown}"
    return [section("Scaling", about, of_roles, table(_HEAD, rows, num_prose=2) if rows else "")]


def _who(run: RunFolder) -> str:
    """The autoscaler, an operator, or both."""
    by_hand = ["an operator"] if any(one.reason == BY_OPERATOR for one in run.scalings) else []
    # A setting that is at its default is not told.
    autoscaler = [str(run.config["autoscaler"])] if "autoscaler" in run.config else []
    return " and ".join([*autoscaler, *by_hand])


def wanted_text(change: ScalingChange) -> str:
    """Such as `12 prefill, 1 decode`."""
    return ", ".join(f"{count} {role}" for role, count in change.wanted.items())


def actions_text(change: ScalingChange) -> str:
    """Such as `drained prefill-3; booked decode-1`."""
    return "; ".join(f"{action} {', '.join(addresses)}" for action, addresses in change.which.items())
