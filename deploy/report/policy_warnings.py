"""What a page says of policies that failed: its figures are those of what stood in for them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from scheduler.policies.failures import PolicyFailures, failure_lines


def policy_warnings(summary: Mapping[str, Any], name: str = "") -> str:
    """A paragraph for each policy that failed in a run, which has a `name` where there are several."""
    counted = {kind: one for kind, one in summary["policy_failures"].items() if kind != "total"}
    lines = failure_lines({kind: PolicyFailures(one["count"], one["first_error"]) for kind, one in counted.items()})
    before = f"{name}: " if name else ""
    return "".join(f'<p class="warn">{escape(before + line)}</p>' for line in lines)
