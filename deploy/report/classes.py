"""What came of each request class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.pages.document import amount, section, table

_HEAD = ("class", "arrived", "finished", "not served", "TTFT p50", "TTFT p99", "TPOT p99", "within limits", "goodput")


def classes_section(summary: Mapping[str, Any]) -> list[str]:
    """One section, or none in a run without classes."""
    classes: Mapping[str, Any] = summary.get("classes", {})
    rows = [_row(name, use) for name, use in classes.items() if use["requests"]["arrived"]]
    if not rows:
        return []
    about = "Each judged by the limits of its own class. Requests that belong to no class are called default."
    return [section("Request classes", about, table(_HEAD, rows))]


def _row(name: str, use: Mapping[str, Any]) -> tuple[str, ...]:
    requests, slo = use["requests"], use["slo"]
    return (
        name,
        f"{requests['arrived']:,}",
        f"{requests['finished']:,}",
        f"{requests['rejected'] + requests['failed']:,}",
        amount("s", use["ttft_s"]["p50"]),
        amount("s", use["ttft_s"]["p99"]),
        amount("s", use["tpot_s"]["p99"]),
        amount("percentunit", slo["attainment"]),
        amount("reqps", slo["goodput_requests_per_s"]),
    )
