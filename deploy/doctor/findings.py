"""What a look at the machine finds: a line for each thing looked at, with a verdict and, if need be, the fix."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from msgspec import Struct

Verdict = Literal["ok", "warn", "bad"]
"""`bad`: something of ours will not work. `warn`: it will work worse, or only in part."""

MIN_WIDTH: Final = 60


class Finding(Struct, frozen=True):
    """One thing looked at. `mend` says how to fix it, and is empty for what is well."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


def count(findings: Iterable[Finding]) -> Mapping[Verdict, int]:
    """How many there are of each verdict."""
    verdicts = [finding.verdict for finding in findings]
    return {"ok": verdicts.count("ok"), "warn": verdicts.count("warn"), "bad": verdicts.count("bad")}


def render(findings: list[Finding], width: int) -> str:
    """Aligned lines for a terminal of `width` columns; what is not well has its fix on a line of its own."""
    name_width = max(len(finding.name) for finding in findings)
    indent = " " * (6 + name_width + 2)
    lines: list[str] = []
    for finding in findings:
        head = f"{finding.verdict:<4}  {finding.name:<{name_width}}  "
        lines += _wrapped(finding.found, head, indent, width)
        if finding.mend:
            lines += _wrapped(finding.mend, f"{indent}-> ", f"{indent}   ", width)
    counts = count(findings)
    lines += ["", f"{counts['ok']} ok, {counts['warn']} warn, {counts['bad']} bad"]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, first: str, others: str, width: int) -> list[str]:
    # A path or command that is cut in two could not be copied.
    return textwrap.wrap(
        text,
        max(width, MIN_WIDTH),
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
